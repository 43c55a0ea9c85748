//! A value of a field, from the file or from the environment.

use toml::de::DeValue;

/// A field reader's complaint about a wrong value, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidValue(pub String, pub String);

impl InvalidValue {
    /// A wrong value and its remedy.
    pub fn new(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self(message.into(), remedy.into())
    }
}

/// A value of a field, from the file or from the environment.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// From the file.
    File(&'a DeValue<'a>),
    /// From the environment: text, whatever the field's type.
    Environment(&'a str),
}

impl<'a> Value<'a> {
    /// A text.
    ///
    /// # Errors
    /// When it is of another type.
    pub fn text(self) -> Result<&'a str, InvalidValue> {
        match self {
            Self::Environment(text) => Ok(text),
            Self::File(value) => value.as_str().ok_or_else(|| {
                InvalidValue::new(
                    format!("expected a string, found {}", type_of(value)),
                    "put it in quotes",
                )
            }),
        }
    }

    /// An integer.
    ///
    /// # Errors
    /// When it is none.
    pub fn integer(self) -> Result<i64, InvalidValue> {
        let text = match self {
            Self::Environment(text) => Some(text.to_owned()),
            Self::File(value) => value.as_integer().map(|n| n.as_str().replace('_', "")),
        };
        let read = text.and_then(|text| text.parse().ok());
        read.ok_or_else(|| InvalidValue::new("expected a whole number", "write it without quotes"))
    }

    /// A number.
    ///
    /// # Errors
    /// When it is none, or is not finite.
    pub fn number(self) -> Result<f64, InvalidValue> {
        let text = match self {
            Self::Environment(text) => Some(text.to_owned()),
            Self::File(value) => value
                .as_float()
                .map(|n| n.as_str().replace('_', ""))
                .or_else(|| value.as_integer().map(|n| n.as_str().replace('_', ""))),
        };
        let read = text.and_then(|text| text.parse().ok()).filter(|n: &f64| n.is_finite());
        read.ok_or_else(|| InvalidValue::new("expected a number", "write it without quotes"))
    }

    /// A yes or no.
    ///
    /// # Errors
    /// When it is neither true nor false.
    pub fn flag(self) -> Result<bool, InvalidValue> {
        let read = match self {
            Self::Environment(text) => text.parse().ok(),
            Self::File(value) => value.as_bool(),
        };
        read.ok_or_else(|| InvalidValue::new("expected true or false", "write it without quotes"))
    }

    /// A list of texts; in the environment separated by commas.
    ///
    /// # Errors
    /// When it is none.
    pub fn texts(self) -> Result<Vec<&'a str>, InvalidValue> {
        let wrong = || InvalidValue::new("expected a list of strings", "write [\"one\", \"two\"]");
        match self {
            Self::Environment(text) => {
                Ok(text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect())
            }
            Self::File(value) => {
                let array = value.as_array().ok_or_else(wrong)?;
                let texts = array.iter().map(|one| one.get_ref().as_str().ok_or_else(wrong));
                texts.collect()
            }
        }
    }
}

fn type_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
