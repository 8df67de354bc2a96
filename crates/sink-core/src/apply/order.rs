//! Parents before children, for products that check foreign keys statement by statement. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{TableId, TableSchema};

/// Tables whose foreign keys form a circle, so that no order suits them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the foreign keys of these tables form a circle, which this target cannot check at the end: {}", list(.0))]
pub struct Circle(pub Vec<TableId>);

fn list(tables: &[TableId]) -> String {
    tables.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Positions of `tables` such that every table comes after those it refers to. References to itself and to tables
/// that are not listed do not count. Equal inputs give equal orders.
///
/// # Errors
/// If foreign keys form a circle; the error names its tables.
pub fn parents_first(tables: &[&TableSchema]) -> Result<Vec<usize>, Circle> {
    let position: BTreeMap<&TableId, usize> =
        tables.iter().enumerate().map(|(at, table)| (&table.id, at)).collect();
    let mut waits: Vec<BTreeSet<usize>> = tables
        .iter()
        .enumerate()
        .map(|(at, table)| {
            table
                .references
                .iter()
                .filter_map(|id| position.get(id).copied())
                .filter(|to| *to != at)
                .collect()
        })
        .collect();
    let mut by_name: Vec<usize> = (0..tables.len()).collect();
    by_name.sort_by(|a, b| tables[*a].id.cmp(&tables[*b].id));
    let mut order = Vec::with_capacity(tables.len());
    while order.len() < tables.len() {
        let ready = by_name.iter().copied().find(|at| waits[*at].is_empty() && !order.contains(at));
        let Some(ready) = ready else {
            let stuck = by_name.into_iter().filter(|at| !order.contains(at));
            return Err(Circle(stuck.map(|at| tables[at].id.clone()).collect()));
        };
        order.push(ready);
        for wait in &mut waits {
            wait.remove(&ready);
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::schema::examples::table;

    fn refers(name: &str, to: &[&str]) -> TableSchema {
        let mut child = table(name, 0, Vec::new());
        child.references = to.iter().map(|parent| table(parent, 0, Vec::new()).id).collect();
        child
    }

    fn names(tables: &[TableSchema]) -> Result<Vec<String>, Circle> {
        let refs: Vec<&TableSchema> = tables.iter().collect();
        let order = parents_first(&refs)?;
        Ok(order.into_iter().map(|at| tables[at].id.table.to_string()).collect())
    }

    #[test]
    fn a_table_reached_on_two_paths_comes_after_the_longer_one() {
        let tables = [refers("a", &["b", "d"]), refers("b", &["c"]), refers("c", &["d"]), refers("d", &[])];
        assert_eq!(names(&tables).unwrap(), ["d", "c", "b", "a"]);
    }

    #[test]
    fn a_reference_to_itself_or_to_an_unknown_table_is_no_circle() {
        assert_eq!(names(&[refers("a", &["a", "elsewhere"])]).unwrap(), ["a"]);
    }

    #[test]
    fn a_circle_is_named() {
        let error = names(&[refers("a", &["b"]), refers("b", &["a"]), refers("c", &[])]).unwrap_err();
        assert_eq!(error.0.len(), 2);
        assert!(error.to_string().contains("db.public.a, db.public.b"), "{error}");
    }
}
