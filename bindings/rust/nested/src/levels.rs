use nested_sys as sys;

use crate::error::{check, Error, Result, Status};
use crate::handle::count;
use crate::Session;

/// State of one CMS level of one layer.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Level {
    /// Block.
    pub layer: usize,
    /// 0 is the fastest.
    pub level: usize,
    /// Never updates online.
    pub frozen: bool,
    /// Updates once per so many tokens; 0 = never.
    pub chunk: u64,
    /// Position of the last update, None before the first.
    pub last_update: Option<u64>,
    /// Position of the next one, None = never.
    pub next_update: Option<u64>,
    /// Updates so far.
    pub updates: u64,
    /// Updates dropped because they were not finite.
    pub skipped: u64,
    /// Parameters of the level.
    pub parameters: u64,
    /// Effective inner learning rate.
    pub learning_rate: f64,
    /// Norm of the online weights.
    pub weight_norm: f64,
    /// Distance from the model's weights: what the session has learnt.
    pub delta_norm: f64,
    /// Norm of the gradient of the last update, before clipping.
    pub last_gradient_norm: f64,
    /// Norm of the last update.
    pub last_update_norm: f64,
    /// Norm of the gradient collected since the last update.
    pub pending_norm: f64,
}

/// Which levels a call is about.
///
/// ```
/// use nested::Levels;
/// let slow_of_first_block = Levels { layer: Some(0), level: Some(2) };
/// let fastest_of_all = Levels { level: Some(0), ..Levels::ALL };
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Levels {
    /// Block; None (default) is all.
    pub layer: Option<usize>,
    /// CMS level, 0 is the fastest; None (default) is all.
    pub level: Option<usize>,
}

impl Levels {
    /// All levels of all layers.
    pub const ALL: Levels = Levels { layer: None, level: None };

    /// -1 is all; what does not fit is out of every range.
    fn raw(self) -> (i32, i32) {
        let index = |i: Option<usize>| i.map_or(-1, |i| i32::try_from(i).unwrap_or(i32::MAX));
        (index(self.layer), index(self.level))
    }
}

/// What [`Session::control_levels`] changes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LevelControl {
    /// Stops levels from learning, or lets them go on; None (default) leaves it.
    pub frozen: Option<bool>,
    /// Factor on the configured learning rate, more than 0; None (default) leaves it.
    pub lr_scale: Option<f64>,
}

impl Session {
    /// One level of one layer.
    ///
    /// # Errors
    /// [`Status::Range`] when there is no such level.
    pub fn level(&self, layer: usize, level: usize) -> Result<Level> {
        let (layer, level) = Levels { layer: Some(layer), level: Some(level) }.raw();
        let mut r = sys::nested_level::default();
        // SAFETY: live handle, sized struct.
        check(unsafe { sys::nested_session_level(self.handle.get(), layer, level, &mut r) })?;
        Ok(Level {
            layer: r.layer as usize,
            level: r.level as usize,
            frozen: r.frozen != 0,
            chunk: count(r.chunk),
            last_update: u64::try_from(r.last_update).ok(),
            next_update: u64::try_from(r.next_update).ok(),
            updates: r.n_updates,
            skipped: r.n_skipped,
            parameters: r.n_params,
            learning_rate: r.lr,
            weight_norm: r.weight_norm,
            delta_norm: r.delta_norm,
            last_gradient_norm: r.last_grad_norm,
            last_update_norm: r.last_update_norm,
            pending_norm: r.pending_norm,
        })
    }

    /// All levels, layer by layer, the fastest first; the head of the tasks "classify" and "regress" is last.
    ///
    /// # Errors
    /// [`Status::Forked`].
    pub fn levels(&self) -> Result<Vec<Level>> {
        let mut all = Vec::new();
        for (layer, levels) in self.model().levels() {
            for level in 0..levels {
                all.push(self.level(layer, level)?);
            }
        }
        Ok(all)
    }

    /// Freezes or thaws levels, or scales their learning rate.
    ///
    /// # Errors
    /// [`Status::Range`] when there is no such level, or for a scale that is not more than 0.
    pub fn control_levels(&mut self, levels: Levels, control: LevelControl) -> Result<()> {
        if control.lr_scale == Some(0.0) {
            let message = "lr_scale is more than 0 (freeze a level to stop it).";
            return Err(Error::new(Status::Range, message, "control.lr_scale"));
        }
        let (layer, level) = levels.raw();
        let control = sys::nested_level_control {
            frozen: control.frozen.map_or(0, |frozen| if frozen { 1 } else { -1 }),
            lr_scale: control.lr_scale.unwrap_or(0.0),
            ..Default::default()
        };
        // SAFETY: live handle, sized struct.
        check(unsafe { sys::nested_session_level_control(self.handle.get(), layer, level, &control) })
    }

    /// Ends the running segment and applies every gradient whose target is known, now instead of at the end of the period. The
    /// clock is untouched.
    ///
    /// # Errors
    /// [`Status::Range`] when there is no such level.
    pub fn flush_levels(&mut self, levels: Levels) -> Result<()> {
        let (layer, level) = levels.raw();
        // SAFETY: live handle.
        check(unsafe { sys::nested_session_level_flush(self.handle.get(), layer, level) })
    }

    /// Returns levels to the model's weights: forgets what they learnt, their optimizer state and pending gradient.
    ///
    /// # Errors
    /// [`Status::Range`] when there is no such level.
    pub fn reset_levels(&mut self, levels: Levels) -> Result<()> {
        let (layer, level) = levels.raw();
        // SAFETY: live handle.
        check(unsafe { sys::nested_session_level_reset(self.handle.get(), layer, level) })
    }
}
