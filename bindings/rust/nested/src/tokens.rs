use std::borrow::Cow;

/// What can be read as tokens: ids (`i32`), or bytes and text for byte-level models, where a token is a byte.
///
/// ```
/// use nested::Tokens;
/// assert_eq!("hi".tokens(), [104, 105].as_slice());
/// assert_eq!(b"hi".tokens(), "hi".tokens());
/// assert_eq!(vec![104, 105].tokens(), "hi".tokens());
/// ```
pub trait Tokens {
    /// The ids, \[n\].
    fn tokens(&self) -> Cow<'_, [i32]>;
}

impl Tokens for [i32] {
    fn tokens(&self) -> Cow<'_, [i32]> {
        Cow::Borrowed(self)
    }
}

impl Tokens for [u8] {
    fn tokens(&self) -> Cow<'_, [i32]> {
        self.iter().map(|&byte| i32::from(byte)).collect()
    }
}

macro_rules! as_slice {
    ($([$($generic:tt)*] $name:ty: $slice:ident;)*) => {
        $(impl<$($generic)*> Tokens for $name {
            fn tokens(&self) -> Cow<'_, [i32]> {
                self.$slice().tokens()
            }
        })*
    };
}

as_slice! {
    [const N: usize] [i32; N]: as_slice;
    [const N: usize] [u8; N]: as_slice;
    [] Vec<i32>: as_slice;
    [] Vec<u8>: as_slice;
    [] str: as_bytes;
    [] String: as_bytes;
}

impl<T: Tokens + ?Sized> Tokens for &T {
    fn tokens(&self) -> Cow<'_, [i32]> {
        (**self).tokens()
    }
}
