//! What values of the log are as JSON, for columns that the target keeps in one document. Pure.

use sink_core::flow::Form;

use crate::binlog::MapColumn;
use crate::binlog::table_map::log_type as t;

pub(super) fn of(column: &MapColumn) -> Form {
    match column.log_type {
        t::TINY
        | t::SHORT
        | t::LONG
        | t::LONGLONG
        | t::INT24
        | t::FLOAT
        | t::DOUBLE
        | t::DECIMAL
        | t::YEAR => Form::Number,
        t::JSON => Form::Json,
        _ => Form::Text,
    }
}
