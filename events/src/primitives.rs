//! Value types that are validated when they are read, so that every event in memory is well-formed.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A value that breaks its type's rule. The message names the rule and the value found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidValue(String);

impl InvalidValue {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

macro_rules! shop_id {
    ($($(#[$doc:meta])* $name:ident,)+) => {$(
        $(#[$doc])*
        ///
        /// Assigned by the shop: 1 to 64 bytes of UTF-8 without control characters.
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Largest length, in bytes.
            pub const MAX_BYTES: usize = 64;

            /// Checks and wraps an id.
            ///
            /// # Errors
            /// When the id is empty, longer than 64 bytes, or holds a control character.
            pub fn new(id: impl Into<String>) -> Result<Self, InvalidValue> {
                let id = id.into();
                if id.is_empty() || id.len() > Self::MAX_BYTES {
                    return Err(InvalidValue::new(format!(
                        "an id must be 1 to {} bytes long, this one has {}", Self::MAX_BYTES, id.len()
                    )));
                }
                if id.chars().any(char::is_control) {
                    return Err(InvalidValue::new(format!("an id must not hold control characters: {id:?}")));
                }
                Ok(Self(id))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = InvalidValue;
            fn try_from(id: &str) -> Result<Self, InvalidValue> {
                Self::new(id)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 64,
                    "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]+$",
                })
            }
        }
    )+};
}

shop_id! {
    /// Id of a registered shopper.
    MemberId,
    /// Id of a product.
    ProductId,
    /// Id of an order or of a cancellation document.
    OrderId,
    /// Id of a category: a slug such as `bags`.
    CategoryId,
}

/// UTF-8 text of at most `MAX` characters, without NUL (Postgres stores none).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// Checks and wraps a text.
    ///
    /// # Errors
    /// When the text is longer than `MAX` characters or holds a NUL.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidValue> {
        let text = text.into();
        if text.len() > MAX && text.chars().count() > MAX {
            return Err(InvalidValue::new(format!(
                "a text must have at most {MAX} characters, this one has {}",
                text.chars().count()
            )));
        }
        if text.contains('\0') {
            return Err(InvalidValue::new("a text must not hold the character NUL"));
        }
        Ok(Self(text))
    }

    /// The first `MAX` characters of a text, without NULs.
    #[must_use]
    pub fn shortened(text: &str) -> Self {
        Self(text.chars().filter(|character| *character != '\0').take(MAX).collect())
    }
}

impl<const MAX: usize> Deref for Text<MAX> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Text<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl<const MAX: usize> JsonSchema for Text<MAX> {
    fn schema_name() -> Cow<'static, str> {
        format!("Text{MAX}").into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "maxLength": MAX, "pattern": "^[^\\u0000]*$" })
    }
}

/// An ISO 4217 currency code: three capital letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

impl Currency {
    /// Checks and wraps a code.
    ///
    /// # Errors
    /// When the code is not three capital ASCII letters.
    pub fn new(code: &str) -> Result<Self, InvalidValue> {
        match code.as_bytes() {
            &[a, b, c] if [a, b, c].iter().all(u8::is_ascii_uppercase) => Ok(Self([a, b, c])),
            _ => Err(InvalidValue::new(format!("a currency must be three capital letters such as GBP, not {code:?}"))),
        }
    }

    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&Cow::<str>::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl JsonSchema for Currency {
    fn schema_name() -> Cow<'static, str> {
        "Currency".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[A-Z]{3}$" })
    }
}

/// An amount of money in the currency's minor unit (pence, won, cents).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// Minor units; negative for a credit.
    pub amount_minor: i64,
    /// ISO 4217 code of the currency.
    pub currency: Currency,
}

/// A number of units of a product: 1 to 1,000,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Quantity(u32);

impl Quantity {
    /// Largest quantity of one line.
    pub const MAX: u32 = 1_000_000;

    /// Checks and wraps a quantity.
    ///
    /// # Errors
    /// When it is not within 1 and 1,000,000.
    pub fn new(units: i64) -> Result<Self, InvalidValue> {
        match u32::try_from(units) {
            Ok(units @ 1..=Self::MAX) => Ok(Self(units)),
            _ => Err(InvalidValue::new(format!("a quantity must be 1 to {}, not {units}", Self::MAX))),
        }
    }

    /// The number of units.
    #[must_use]
    pub fn units(self) -> i64 {
        i64::from(self.0)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(i64::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl JsonSchema for Quantity {
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": Self::MAX })
    }
}

/// A vector of [`Vector::DIMENSIONS`] finite `f32`s, written as base64 of their little-endian bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Vector(Vec<f32>);

impl Vector {
    /// Number of dimensions of every vector of the pipeline: columns and indexes have this width.
    pub const DIMENSIONS: usize = 384;

    /// Checks and wraps a vector.
    ///
    /// # Errors
    /// When it has another number of dimensions, or holds a number that is not finite.
    pub fn new(values: Vec<f32>) -> Result<Self, InvalidValue> {
        if values.len() != Self::DIMENSIONS {
            let (expected, found) = (Self::DIMENSIONS, values.len());
            return Err(InvalidValue::new(format!("a vector must have {expected} dimensions, this one has {found}")));
        }
        if values.iter().any(|value| !value.is_finite()) {
            return Err(InvalidValue::new("a vector must hold finite numbers only"));
        }
        Ok(Self(values))
    }

    /// A vector of length 1 along the first dimension, for examples.
    pub(crate) fn example() -> Self {
        let mut values = vec![0.0; Self::DIMENSIONS];
        values[0] = 1.0;
        Self(values)
    }
}

impl Deref for Vector {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl Serialize for Vector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|value| value.to_le_bytes()).collect();
        serializer.serialize_str(&STANDARD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text.as_bytes()).map_err(de::Error::custom)?;
        let (values, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(de::Error::custom(format!(
                "a vector must be whole little-endian f32 values, but it has {} bytes",
                bytes.len()
            )));
        }
        Self::new(values.iter().copied().map(f32::from_le_bytes).collect()).map_err(de::Error::custom)
    }
}

impl JsonSchema for Vector {
    fn schema_name() -> Cow<'static, str> {
        "Vector".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // 384 times 4 bytes are a multiple of three: no padding.
        json_schema!({ "type": "string", "contentEncoding": "base64", "pattern": "^[A-Za-z0-9+/]{2048}$" })
    }
}
