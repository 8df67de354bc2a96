//! Edits of documents (`binlog_row_value_options=PARTIAL_JSON`): the log has what changed instead of the whole.

use std::borrow::Cow;

use super::binary::{Container, View};
use super::path::{self, Leg};
use super::{IMPOSSIBLE, MOST_DEPTH};
use crate::binlog::reader::Reader;
use crate::row::RowProblem;

/// A value of a document, taken apart as far as edits need it.
pub(super) enum Node<'a> {
    /// As it was.
    Whole(View<'a>),
    Array(Vec<Node<'a>>),
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

/// What an edit does (read in server source, `enum_json_diff_operation`).
const REPLACE: u8 = 0;
const INSERT: u8 = 1;
const REMOVE: u8 = 2;

const BAD: RowProblem = RowProblem::BadEdit;

/// Applies edits, one after the other, to a document.
pub(super) fn apply<'a>(before: &'a [u8], edits: &'a [u8]) -> Result<Node<'a>, RowProblem> {
    let mut root = Node::Whole(View::of_document(before)?);
    let mut reader = Reader::new("edits of a document", edits);
    // What is taken apart more often than there are bytes points to some of them twice.
    let mut left = before.len() + edits.len();
    while reader.left() > 0 {
        let operation = reader.u8("what an edit does")?;
        let legs = path::parse(reader.counted_text("the path of an edit")?)?;
        if legs.len() > MOST_DEPTH {
            return Err(RowProblem::TooDeep);
        }
        let value = match operation {
            REMOVE => None,
            REPLACE | INSERT => Some(Node::Whole(View::of_document(reader.counted("a document")?)?)),
            _ => return Err(BAD),
        };
        let Some((last, way)) = legs.split_last() else {
            // Only the whole can be at the root.
            root = value.filter(|_| operation == REPLACE).ok_or(BAD)?;
            continue;
        };
        let parent = way.iter().try_fold(&mut root, |node, leg| node.child(leg, &mut left))?;
        parent.open(&mut left)?;
        match (operation, value) {
            (REPLACE, Some(value)) => *parent.child(last, &mut left)? = value,
            (_, Some(value)) => parent.insert(last, value)?,
            (_, None) => parent.remove(last)?,
        }
    }
    Ok(root)
}

impl<'a> Node<'a> {
    /// Takes one level apart. Every byte of a document belongs to one value, so this never takes more than `left`.
    fn open(&mut self, left: &mut usize) -> Result<(), RowProblem> {
        let (container, is_object) = match self {
            Self::Whole(View::Array(array)) => (*array, false),
            Self::Whole(View::Object(object)) => (*object, true),
            Self::Whole(_) => return Err(BAD),
            Self::Array(_) | Self::Object(_) => return Ok(()),
        };
        *left = left.checked_sub(container.table_bytes()).ok_or(IMPOSSIBLE)?;
        *self = if is_object { Self::members(container)? } else { Self::elements(container)? };
        Ok(())
    }

    fn elements(array: Container<'a>) -> Result<Self, RowProblem> {
        let values = (0..array.count()).map(|at| array.value(at).map(Node::Whole));
        values.collect::<Result<_, _>>().map(Self::Array)
    }

    fn members(object: Container<'a>) -> Result<Self, RowProblem> {
        let member = |at| Ok((Cow::Borrowed(object.key(at)?), Node::Whole(object.value(at)?)));
        (0..object.count()).map(member).collect::<Result<_, _>>().map(Self::Object)
    }

    fn child(&mut self, leg: &Leg<'_>, left: &mut usize) -> Result<&mut Self, RowProblem> {
        self.open(left)?;
        let child = match (self, leg) {
            (Self::Array(values), Leg::Element(at)) => values.get_mut(*at),
            (Self::Object(members), Leg::Member(name)) => {
                members.iter_mut().find(|(key, _)| key == name).map(|(_, value)| value)
            }
            _ => None,
        };
        child.ok_or(BAD)
    }

    /// A new member at its place in the order of names: by length, then by bytes. An element moves those behind it.
    fn insert(&mut self, leg: &Leg<'_>, value: Self) -> Result<(), RowProblem> {
        match (self, leg) {
            (Self::Array(values), Leg::Element(at)) => values.insert((*at).min(values.len()), value),
            (Self::Object(members), Leg::Member(name)) => {
                let own = (name.len(), &**name);
                let at = members.iter().position(|(key, _)| (key.len(), &**key) >= own);
                let at = at.unwrap_or(members.len());
                if members.get(at).is_some_and(|(key, _)| key == name) {
                    return Err(BAD);
                }
                members.insert(at, (Cow::Owned(name.clone().into_owned()), value));
            }
            _ => return Err(BAD),
        }
        Ok(())
    }

    fn remove(&mut self, leg: &Leg<'_>) -> Result<(), RowProblem> {
        match (self, leg) {
            (Self::Array(values), Leg::Element(at)) if *at < values.len() => {
                values.remove(*at);
            }
            (Self::Object(members), Leg::Member(name)) => {
                let at = members.iter().position(|(key, _)| key == name).ok_or(BAD)?;
                members.remove(at);
            }
            _ => return Err(BAD),
        }
        Ok(())
    }
}
