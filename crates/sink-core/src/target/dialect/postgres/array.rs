//! Values of many rows as one parameter of a statement.

use crate::model::{TableSchema, ValueClass};

/// A parameter: an array. Numbers and truth values travel as such where the server would read them the same way; it is
/// the dearest part of its work.
#[derive(Debug, Clone, PartialEq)]
pub enum Array<'a> {
    /// Texts of the batch.
    Values(Vec<Option<&'a str>>),
    /// `smallint`.
    Int2(Vec<Option<i16>>),
    /// `integer`.
    Int4(Vec<Option<i32>>),
    /// `bigint`.
    Int8(Vec<Option<i64>>),
    /// `real`.
    Float4(Vec<Option<f32>>),
    /// `double precision`.
    Float8(Vec<Option<f64>>),
    /// `boolean`.
    Bool(Vec<Option<bool>>),
    /// Texts of the statement.
    Labels(Vec<Option<String>>),
}

impl<'a> Array<'a> {
    /// Values of a column, as their type if every one of them is written as that type writes it.
    pub(super) fn of(table: &TableSchema, column: usize, values: Vec<Option<&'a str>>) -> Self {
        let schema = &table.columns[column];
        if table.rule(column).is_some_and(|rule| rule.expression.is_some()) {
            return Self::Values(values);
        }
        let typed = match (schema.class, schema.sql_type.as_str()) {
            (ValueClass::Integer(16), "smallint") => parsed(&values).map(Self::Int2),
            (ValueClass::Integer(32), "integer") => parsed(&values).map(Self::Int4),
            (ValueClass::Integer(64), "bigint") => parsed(&values).map(Self::Int8),
            (ValueClass::Float, "real") => {
                floats(&values, |it: &f32| it.is_finite() && *it != 0.0).map(Self::Float4)
            }
            (ValueClass::Float, "double precision") => {
                floats(&values, |it: &f64| it.is_finite() && *it != 0.0).map(Self::Float8)
            }
            (ValueClass::Bool, "boolean") => truths(&values).map(Self::Bool),
            _ => None,
        };
        typed.unwrap_or(Self::Values(values))
    }

    pub(super) fn sql_type(&self) -> &'static str {
        match self {
            Self::Values(_) | Self::Labels(_) => "text[]",
            Self::Int2(_) => "int2[]",
            Self::Int4(_) => "int4[]",
            Self::Int8(_) => "int8[]",
            Self::Float4(_) => "float4[]",
            Self::Float8(_) => "float8[]",
            Self::Bool(_) => "bool[]",
        }
    }
}

fn parsed<T: std::str::FromStr>(values: &[Option<&str>]) -> Option<Vec<Option<T>>> {
    values.iter().map(|value| value.map_or(Some(None), |text| text.parse().ok().map(Some))).collect()
}

/// A number too large or too small for the type is an error to the server, where it would become infinity or zero here: so
/// those two are left to it, and with them the other values that are not `plain`.
fn floats<T: std::str::FromStr>(values: &[Option<&str>], plain: fn(&T) -> bool) -> Option<Vec<Option<T>>> {
    let float = |text: &str| match text.parse().ok()? {
        zero if text == "0" => Some(Some(zero)),
        other => plain(&other).then_some(Some(other)),
    };
    values.iter().map(|value| value.map_or(Some(None), float)).collect()
}

fn truths(values: &[Option<&str>]) -> Option<Vec<Option<bool>>> {
    let truth = |text: &str| match text {
        "t" => Some(Some(true)),
        "f" => Some(Some(false)),
        _ => None,
    };
    values.iter().map(|value| value.map_or(Some(None), truth)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::schema::examples::{column, table};

    fn of(sql_type: &str, values: &[&'static str]) -> Array<'static> {
        let class = match sql_type {
            "boolean" => ValueClass::Bool,
            "integer" => ValueClass::Integer(32),
            _ => ValueClass::Float,
        };
        let values: Vec<_> = values.iter().map(|text| Some(*text)).chain([None]).collect();
        Array::of(&table("t", 1, vec![column("c", sql_type, class)]), 0, values)
    }

    #[test]
    fn numbers_travel_as_numbers_unless_the_server_would_read_them_otherwise() {
        assert_eq!(of("integer", &["7", "-1"]), Array::Int4(vec![Some(7), Some(-1), None]));
        assert_eq!(of("boolean", &["t", "f"]), Array::Bool(vec![Some(true), Some(false), None]));
        let (one, least) = ("0.1", "5e-324");
        assert_eq!(
            of("double precision", &["0", one, least]),
            Array::Float8(vec![Some(0.0), Some(0.1), Some(5e-324), None])
        );
        assert_eq!(of("real", &["1e+20"]), Array::Float4(vec![Some(1e20), None]));
        // Out of range, no number, and a zero that has a sign.
        for left in ["1e400", "1e-400", "NaN", "Infinity", "-Infinity", "-0"] {
            assert_eq!(of("double precision", &[left]), Array::Values(vec![Some(left), None]));
        }
        for left in ["1e39", "1e-50"] {
            assert_eq!(of("real", &[left]), Array::Values(vec![Some(left), None]));
        }
    }
}
