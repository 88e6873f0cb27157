//! Functions of several arguments that are called with tuples.

/// A tuple with whose parts an `F` can be called; for the `starmap` of the pools. Tuples of one to
/// six parts are.
///
/// ```
/// use sedge::pool::Spread;
///
/// assert_eq!((2, 5).spread(&u32::pow), 32);
/// ```
pub trait Spread<F> {
    /// What the function returns.
    type Output;

    /// Calls the function.
    fn spread(self, f: &F) -> Self::Output;
}

macro_rules! spread {
    ($($part:ident)*) => {
        impl<F, R, $($part),*> Spread<F> for ($($part,)*)
        where
            F: Fn($($part),*) -> R,
        {
            type Output = R;

            #[expect(non_snake_case, reason = "each part is named as its type")]
            fn spread(self, f: &F) -> R {
                let ($($part,)*) = self;
                f($($part),*)
            }
        }
    };
}

spread!(A);
spread!(A B);
spread!(A B C);
spread!(A B C D);
spread!(A B C D E);
spread!(A B C D E G);
