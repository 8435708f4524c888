use std::fmt;

use nested_sys as sys;

use crate::error::{check, Error, Result, Status};
use crate::handle::{c_text, count, cview, view, zeros};
use crate::Model;

/// The named tensors of a model: `get` copies out, `set` copies in.
///
/// ```
/// # use nested::{Config, Context, Model};
/// # let config = Config::from_json(r#"{"kind": "hope", "vocab": 256, "d_model": 32, "n_layers": 1}"#)?;
/// # let model = Model::new(&Context::new()?, &config, 0)?;
/// let tensors = model.tensors();
/// for tensor in tensors.iter() {
///     let tensor = tensor?;
///     println!("{} {:?}", tensor.name, tensor.shape);
/// }
/// let mut values = tensors.get("embed.weight")?; // [vocab, d_model], row by row
/// values.iter_mut().for_each(|x| *x *= 0.5);
/// tensors.set("embed.weight", &values)?;
/// # Ok::<(), nested::Error>(())
/// ```
#[derive(Clone)]
pub struct Tensors {
    model: Model,
}

/// Where a named tensor stands in a model.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TensorInfo {
    /// For example `"blocks.0.cms.1.up.weight"`.
    pub name: String,
    /// Extents, row-major.
    pub shape: Vec<usize>,
    /// Block; None outside the blocks.
    pub layer: Option<usize>,
    /// CMS level, 0 is the fastest; None outside a CMS.
    pub level: Option<usize>,
    /// Its first element in [`Model::parameters`] and in [`Gradient::values`](crate::Gradient::values).
    pub flat_offset: usize,
}

impl TensorInfo {
    /// Number of elements.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// Its place in [`Model::parameters`] and in [`Gradient::values`](crate::Gradient::values).
    pub fn range(&self) -> std::ops::Range<usize> {
        self.flat_offset..self.flat_offset + self.count()
    }
}

impl Tensors {
    pub(crate) fn new(model: Model) -> Self {
        Tensors { model }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        // SAFETY: live handle.
        count(unsafe { sys::nested_model_tensor_count(self.model.raw()) }) as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them in the order of the configuration, which is that of the flat vectors.
    pub fn iter(&self) -> impl Iterator<Item = Result<TensorInfo>> + '_ {
        (0..self.len() as i64).map(|index| self.at(index))
    }

    /// Shape, layer, level and flat position of a tensor.
    ///
    /// # Errors
    /// [`Status::NotFound`] when there is no such name.
    pub fn info(&self, name: &str) -> Result<TensorInfo> {
        self.at(self.find(name)?)
    }

    /// A copy of a tensor, row-major in its shape.
    ///
    /// # Errors
    /// [`Status::NotFound`] when there is no such name; [`Status::Reentrant`] from a callback of a call that works on
    /// the model.
    pub fn get(&self, name: &str) -> Result<Vec<f32>> {
        let index = self.find(name)?;
        let size = [self.at(index)?.count()];
        let mut values = zeros(&size)?;
        // SAFETY: live handle, and a view that has room for its shape.
        check(unsafe { sys::nested_model_tensor_get(self.model.raw(), index, &view(&mut values, &size)) })?;
        Ok(values)
    }

    /// Replaces the elements of a tensor, row-major in its shape. A trainer keeps its optimizer state.
    ///
    /// # Errors
    /// [`Status::NotFound`], [`Status::Shape`] for another number of elements, [`Status::Numeric`] when one is not finite.
    pub fn set(&self, name: &str, values: &[f32]) -> Result<()> {
        let index = self.find(name)?;
        let source = cview(values.as_ptr(), sys::NESTED_F32, &[values.len()]);
        // SAFETY: live handle, and a view of as many elements as it says. The library locks.
        check(unsafe { sys::nested_model_tensor_set(self.model.raw(), index, &source) })
    }

    fn find(&self, name: &str) -> Result<i64> {
        let (name, mut index) = (c_text(name, "name")?, 0);
        // SAFETY: live handle, a text that ends with a NUL, `index` is valid for the call.
        check(unsafe { sys::nested_model_tensor_find(self.model.raw(), name.as_ptr(), &mut index) })?;
        Ok(index)
    }

    fn at(&self, index: i64) -> Result<TensorInfo> {
        let mut r = sys::nested_tensor_info::default();
        // SAFETY: live handle, sized struct. The name is valid while the model lives.
        let name = unsafe {
            check(sys::nested_model_tensor_at(self.model.raw(), index, &mut r))?;
            std::ffi::CStr::from_ptr(r.name).to_string_lossy().into_owned()
        };
        let dimensions = r.shape.get(..r.ndim as usize).unwrap_or(&[]);
        Ok(TensorInfo {
            name,
            shape: dimensions.iter().map(|&extent| count(extent) as usize).collect(),
            layer: usize::try_from(r.layer).ok(),
            level: usize::try_from(r.level).ok(),
            flat_offset: usize::try_from(r.flat_offset)
                .map_err(|_| Error::new(Status::Internal, "An offset is too large.", ""))?,
        })
    }
}

impl fmt::Debug for Tensors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = self.iter().flatten().map(|t| (t.name, t.shape));
        f.debug_map().entries(listed).finish()
    }
}
