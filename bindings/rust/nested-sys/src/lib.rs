//! The C interface of libnested as it stands in `nested.h`: every function, struct, constant and callback type,
//! and nothing else. The crate `nested` is the safe interface; this one is for what that leaves out.
//!
//! `bindings.rs` is generated from the header, and the compiler checks size and offsets of every struct while
//! it compiles this crate. Rules R1 to R12 of the header hold for each function here.
//!
//! ```
//! let mut error = nested_sys::nested_error::default(); // zero, and struct_size set (R8)
//! // SAFETY: the pointer is valid for the call.
//! let status = unsafe { nested_sys::nested_last_error(&mut error) };
//! assert_eq!(status, nested_sys::NESTED_OK);
//! ```
#![no_std]
#![allow(non_camel_case_types)]
#![deny(unsafe_op_in_unsafe_fn)]

#[rustfmt::skip]
mod bindings;
pub use bindings::*;

/// Length argument meaning "this text ends with a NUL".
pub const NESTED_NUL_TERMINATED: usize = usize::MAX;
