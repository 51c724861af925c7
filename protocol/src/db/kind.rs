//! The eight kinds of database, and their names.
//!
//! A kind is a family (what the operations mean) and how values are written. Two databases can have one log only if
//! they are of one kind, so the name that peers compare holds the value size of fixed kinds too: `any-ordered-fixed:32`.

use super::operation::MAX_VALUE;
use std::fmt;
use std::str::FromStr;

/// The names of all kinds, without the value size that fixed kinds have.
pub const KINDS: [&str; 8] = [
    "any-unordered-variable",
    "any-unordered-fixed",
    "any-ordered-variable",
    "any-ordered-fixed",
    "immutable-variable",
    "immutable-fixed",
    "keyless-variable",
    "keyless-fixed",
];

/// What the operations of a database mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Keys that can be updated and deleted (FORMAT F3.1).
    AnyUnordered,
    /// The same, and every update names the next key (F3.2).
    AnyOrdered,
    /// Keys that are set once (F3.3).
    Immutable,
    /// A list of values (F3.4).
    Keyless,
}

/// How values and metadata are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Values {
    /// Any length up to [`MAX_VALUE`], written with it.
    Variable,
    /// All of exactly so many bytes, 1 to [`MAX_VALUE`]; all operations are equally long.
    Fixed(usize),
}

/// A kind of database. Prints as, and is read from, the name that peers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    family: Family,
    values: Values,
}

/// Why a name is not that of a kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KindError {
    /// No kind has this name.
    #[error("no kind of database is called {0:?}; there are {names}", names = KINDS.join(", "))]
    Unknown(String),
    /// A fixed kind without its value size.
    #[error("{0} needs a value size")]
    NoSize(&'static str),
    /// A value size where values have any length.
    #[error("{0} has no value size")]
    NotFixed(&'static str),
    /// A value size that no operation can have.
    #[error("a value size of {0}; it is 1 to {MAX_VALUE}")]
    Size(usize),
    /// Two value sizes.
    #[error("{name} is given the value size {size}")]
    TwoSizes {
        /// The name, with a size in it.
        name: String,
        /// The other size.
        size: usize,
    },
}

impl Kind {
    /// The kind whose values have any length.
    pub const fn variable(family: Family) -> Self {
        let values = Values::Variable;
        Self { family, values }
    }

    /// The kind whose values all have `value_size` bytes.
    ///
    /// # Errors
    /// [`KindError::Size`] unless that is 1 to [`MAX_VALUE`].
    pub const fn fixed(family: Family, value_size: usize) -> Result<Self, KindError> {
        let values = Values::Fixed(value_size);
        match value_size {
            1..=MAX_VALUE => Ok(Self { family, values }),
            _ => Err(KindError::Size(value_size)),
        }
    }

    /// The kind called `name`; for fixed kinds `value_size` says the size, unless the name does.
    ///
    /// # Errors
    /// [`KindError`].
    pub fn parse(name: &str, value_size: Option<usize>) -> Result<Self, KindError> {
        let kind = match (name.split_once(':'), value_size) {
            (None, _) => return Self::of_name(name, value_size),
            (Some((bare, digits)), _) => {
                let size = digits.parse().map_err(|_| KindError::Unknown(name.into()))?;
                Self::of_name(bare, Some(size))?
            }
        };
        match value_size {
            // One kind, one text: no leading zeros or signs.
            _ if kind.to_string() != name => Err(KindError::Unknown(name.into())),
            Some(size) if kind.value_size() != Some(size) => Err(KindError::TwoSizes {
                name: name.into(),
                size,
            }),
            _ => Ok(kind),
        }
    }

    /// The kind called `name` that has an operation of `length` bytes: only one value size fits.
    ///
    /// # Errors
    /// [`KindError`]; never for a variable kind's name.
    pub fn of_operation(name: &str, length: usize) -> Result<Self, KindError> {
        match Self::parse(name, None) {
            Err(KindError::NoSize(_)) => {
                let probe = Self::of_name(name, Some(1))?;
                let rest = probe.operation_size().map_or(0, |size| size - 1);
                Self::of_name(name, Some(length.saturating_sub(rest)))
            }
            result => result,
        }
    }

    fn of_name(name: &str, value_size: Option<usize>) -> Result<Self, KindError> {
        let unknown = || KindError::Unknown(name.into());
        let i = KINDS
            .iter()
            .position(|known| *known == name)
            .ok_or_else(unknown)?;
        let family = match i / 2 {
            0 => Family::AnyUnordered,
            1 => Family::AnyOrdered,
            2 => Family::Immutable,
            _ => Family::Keyless,
        };
        match (i % 2, value_size) {
            (0, None) => Ok(Self::variable(family)),
            (0, Some(_)) => Err(KindError::NotFixed(KINDS[i])),
            (_, Some(size)) => Self::fixed(family, size),
            (_, None) => Err(KindError::NoSize(KINDS[i])),
        }
    }

    /// What its operations mean.
    pub const fn family(self) -> Family {
        self.family
    }

    /// How its values are written.
    pub const fn values(self) -> Values {
        self.values
    }

    /// The size of all its values, if they have one.
    pub const fn value_size(self) -> Option<usize> {
        match self.values {
            Values::Variable => None,
            Values::Fixed(size) => Some(size),
        }
    }

    /// The size of all its operations, if they have one (F3).
    pub const fn operation_size(self) -> Option<usize> {
        let Values::Fixed(value) = self.values else {
            return None;
        };
        // With keys of 32 bytes the update or set is the longest operation; without keys the commit is.
        Some(match self.family {
            Family::AnyUnordered | Family::Immutable => 1 + 32 + value,
            Family::AnyOrdered => 1 + 2 * 32 + value,
            Family::Keyless => 2 + value,
        })
    }

    /// Whether its operations have keys.
    pub const fn has_keys(self) -> bool {
        !matches!(self.family, Family::Keyless)
    }

    /// Whether keys can be updated and deleted: then commits have a floor.
    pub const fn is_any(self) -> bool {
        matches!(self.family, Family::AnyUnordered | Family::AnyOrdered)
    }

    /// The name without the value size, one of [`KINDS`].
    pub const fn name(self) -> &'static str {
        let fixed = matches!(self.values, Values::Fixed(_));
        KINDS[2 * self.family as usize + fixed as usize]
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self.value_size() {
            Some(size) => write!(f, ":{size}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Kind {
    type Err = KindError;

    fn from_str(text: &str) -> Result<Self, KindError> {
        Self::parse(text, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_one_name() {
        for (i, name) in KINDS.into_iter().enumerate() {
            let size = (i % 2 == 1).then_some(32);
            let kind = Kind::parse(name, size).unwrap();
            assert_eq!((kind.name(), kind.value_size()), (name, size));
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_eq!(Kind::parse(&kind.to_string(), size), Ok(kind));
            assert_eq!(
                Kind::of_operation(name, kind.operation_size().unwrap_or(3)),
                Ok(kind)
            );
            assert!(kind.to_string().len() <= crate::wire::limits::MAX_NAME);
        }
        let kind = Kind::fixed(Family::AnyUnordered, 32).unwrap();
        assert_eq!(kind.to_string(), "any-unordered-fixed:32");
    }

    #[test]
    fn other_names_are_refused_with_a_reason() {
        type Case = (&'static str, &'static str, Option<usize>, KindError);
        let unknown = |text: &str| KindError::Unknown(text.into());
        let cases: [Case; 12] = [
            ("no name", "", None, unknown("")),
            ("another name", "any", None, unknown("any")),
            ("case matters", "Keyless-fixed", Some(1), unknown("Keyless-fixed")),
            (
                "no size",
                "keyless-fixed",
                None,
                KindError::NoSize("keyless-fixed"),
            ),
            (
                "a size too many",
                "keyless-variable",
                Some(3),
                KindError::NotFixed("keyless-variable"),
            ),
            (
                "also in the name",
                "keyless-variable:3",
                None,
                KindError::NotFixed("keyless-variable"),
            ),
            ("no bytes", "immutable-fixed:0", None, KindError::Size(0)),
            (
                "too many",
                "immutable-fixed",
                Some(MAX_VALUE + 1),
                KindError::Size(MAX_VALUE + 1),
            ),
            (
                "a second form",
                "keyless-fixed:08",
                None,
                unknown("keyless-fixed:08"),
            ),
            ("a sign", "keyless-fixed:+8", None, unknown("keyless-fixed:+8")),
            ("no number", "keyless-fixed:", None, unknown("keyless-fixed:")),
            (
                "two sizes",
                "keyless-fixed:8",
                Some(9),
                KindError::TwoSizes {
                    name: "keyless-fixed:8".into(),
                    size: 9,
                },
            ),
        ];
        for (case, name, size, error) in cases {
            assert_eq!(Kind::parse(name, size), Err(error), "{case}");
        }
        assert_eq!(Kind::of_operation("immutable-fixed", 33), Err(KindError::Size(0)));
        assert_eq!(Kind::of_operation("immutable-fixed", 0), Err(KindError::Size(0)));
    }
}
