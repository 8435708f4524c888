use std::fmt;
use std::str::FromStr;

use nested_sys as sys;

use crate::error::{check, Error, Result};
use crate::handle::{c_text, string, Handle};
use crate::library::text;

/// Description of an architecture: strict JSON in, canonical JSON out.
///
/// ```
/// use nested::Config;
/// let mut config = Config::from_json(r#"{"preset": "hope-1m", "vocab": 256}"#)?;
/// config.set_float("/cms/levels/0/lr", 0.02)?;
/// assert_eq!(config.get_int("/vocab")?, 256);
/// println!("{}", config.to_json()?); // every key, sorted
/// # Ok::<(), nested::Error>(())
/// ```
pub struct Config {
    pub(crate) handle: Handle<sys::nested_config>,
}

impl Config {
    /// The defaults of the kind "hope", with "vocab" 256 (bytes).
    ///
    /// # Errors
    /// [`Status::NoMemory`](crate::Status::NoMemory).
    pub fn hope() -> Result<Self> {
        // SAFETY: `out` is valid for the call.
        let handle = Handle::create(|out| unsafe { sys::nested_config_create(sys::NESTED_KIND_HOPE, out) })?;
        Ok(Config { handle })
    }

    /// Reads JSON, for example `{"kind": "hope", "vocab": 256, "d_model": 128}` or `{"preset": "hope-1m"}`.
    ///
    /// # Errors
    /// [`Status::Parse`](crate::Status::Parse) with the byte, or [`Status::Config`](crate::Status::Config) and
    /// [`Status::Unsupported`](crate::Status::Unsupported) with the JSON pointer: unknown keys, duplicate keys, wrong
    /// types and values that [`validate`](Config::validate) refuses.
    pub fn from_json(json: &str) -> Result<Self> {
        // SAFETY: the text is as long as it says; `out` is valid for the call.
        let handle =
            Handle::create(|out| unsafe { sys::nested_config_from_json(json.as_ptr().cast(), json.len(), out) })?;
        Ok(Config { handle })
    }

    /// Sets one key by its JSON pointer, for example `"/d_model"` or `"/cms/levels/1/chunk"`.
    ///
    /// Type and range are checked at once, rules between keys by [`validate`](Config::validate). Derived keys keep their
    /// value: after `"/d_model"` set `"/head_dim"` and `"/n_heads"` as well.
    ///
    /// # Errors
    /// [`Status::NotFound`](crate::Status::NotFound) when the pointer leads nowhere,
    /// [`Status::Config`](crate::Status::Config) when the key does not take the value.
    pub fn set_int(&mut self, pointer: &str, value: i64) -> Result<()> {
        let pointer = c_text(pointer, "pointer")?;
        // SAFETY: live handle, and a text that ends with a NUL; so too below.
        check(unsafe { sys::nested_config_set_int(self.handle.get(), pointer.as_ptr(), value) })
    }

    /// [`set_int`](Config::set_int) for a floating-point key.
    ///
    /// # Errors
    /// As [`set_int`](Config::set_int).
    pub fn set_float(&mut self, pointer: &str, value: f64) -> Result<()> {
        let pointer = c_text(pointer, "pointer")?;
        // SAFETY: as in set_int.
        check(unsafe { sys::nested_config_set_float(self.handle.get(), pointer.as_ptr(), value) })
    }

    /// [`set_int`](Config::set_int) for a key that holds a word.
    ///
    /// # Errors
    /// As [`set_int`](Config::set_int).
    pub fn set_str(&mut self, pointer: &str, value: &str) -> Result<()> {
        let (pointer, value) = (c_text(pointer, "pointer")?, c_text(value, "value")?);
        // SAFETY: as in set_int.
        check(unsafe { sys::nested_config_set_string(self.handle.get(), pointer.as_ptr(), value.as_ptr()) })
    }

    /// Replaces a whole subtree, a boolean or a list by a JSON value.
    ///
    /// # Errors
    /// As [`set_int`](Config::set_int), and [`Status::Parse`](crate::Status::Parse).
    pub fn set_json(&mut self, pointer: &str, json: &str) -> Result<()> {
        let pointer = c_text(pointer, "pointer")?;
        // SAFETY: as in set_int, and the JSON is as long as it says.
        check(unsafe {
            sys::nested_config_set_json(self.handle.get(), pointer.as_ptr(), json.as_ptr().cast(), json.len())
        })
    }

    /// An integer key.
    ///
    /// # Errors
    /// [`Status::NotFound`](crate::Status::NotFound), or [`Status::Config`](crate::Status::Config) when the key
    /// holds another type.
    pub fn get_int(&self, pointer: &str) -> Result<i64> {
        let (pointer, mut out) = (c_text(pointer, "pointer")?, 0);
        // SAFETY: as in set_int; `out` is valid for the call.
        check(unsafe { sys::nested_config_get_int(self.handle.get(), pointer.as_ptr(), &mut out) })?;
        Ok(out)
    }

    /// A floating-point key, or an integer one.
    ///
    /// # Errors
    /// As [`get_int`](Config::get_int).
    pub fn get_float(&self, pointer: &str) -> Result<f64> {
        let (pointer, mut out) = (c_text(pointer, "pointer")?, 0.0);
        // SAFETY: as in get_int.
        check(unsafe { sys::nested_config_get_float(self.handle.get(), pointer.as_ptr(), &mut out) })?;
        Ok(out)
    }

    /// Canonical JSON: every key present, sorted, so that equal configurations are equal bytes.
    ///
    /// # Errors
    /// [`Status::NoMemory`](crate::Status::NoMemory).
    pub fn to_json(&self) -> Result<String> {
        self.to_json_at("")
    }

    /// Canonical JSON of a part; `""` is the whole.
    ///
    /// # Errors
    /// [`Status::NotFound`](crate::Status::NotFound) when the pointer leads nowhere.
    pub fn to_json_at(&self, pointer: &str) -> Result<String> {
        let pointer = c_text(pointer, "pointer")?;
        // SAFETY: as in get_int.
        string(|out| unsafe { sys::nested_config_to_json(self.handle.get(), pointer.as_ptr(), out) })
    }

    /// Checks the rules between keys.
    ///
    /// # Errors
    /// [`Status::Config`](crate::Status::Config) with the place, [`Status::Unsupported`](crate::Status::Unsupported)
    /// for what this build lacks.
    pub fn validate(&self) -> Result<()> {
        // SAFETY: live handle.
        check(unsafe { sys::nested_config_validate(self.handle.get()) })
    }
}

impl FromStr for Config {
    type Err = Error;

    fn from_str(json: &str) -> Result<Self> {
        Config::from_json(json)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Config({})", self.to_json().unwrap_or_default())
    }
}

/// JSON Schema of the configuration, with defaults, ranges and help.
pub fn config_schema() -> &'static str {
    // SAFETY: [pure], static.
    text(unsafe { sys::nested_config_schema() })
}
