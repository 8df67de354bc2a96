//! `tree`: a table that refers to itself, where a node may change its parent or leave its children to it.

use rand::Rng;
use rand::rngs::StdRng;

use super::draft::{Draft, Pool};
use super::{Actor, TREE, texts};
use crate::source::Row;
use crate::value::Value;

struct Node {
    parent: Option<i64>,
    children: Vec<i64>,
    label: String,
}

pub(super) struct Tree {
    nodes: Pool<Node>,
    max_chars: usize,
}

impl Actor for Tree {
    fn seed(&mut self, rng: &mut StdRng, draft: &mut Draft, rows: usize) {
        for _ in 0..rows {
            self.add(rng, draft);
        }
    }

    fn act(&mut self, rng: &mut StdRng, draft: &mut Draft) {
        let Some(node) = self.nodes.pick(rng) else { return self.add(rng, draft) };
        match rng.random_range(0..6) {
            0 | 1 => self.add(rng, draft),
            2 => {
                self.nodes.get_mut(node).label = texts::text(rng, self.max_chars);
                self.put(draft, node);
            }
            3 => {
                let to = self.nodes.pick(rng).filter(|_| rng.random_bool(0.9));
                if !self.is_below(to, node) {
                    self.hang(draft, node, to);
                }
            }
            _ => self.remove(draft, node),
        }
    }
}

impl Tree {
    pub(super) fn new(max_chars: usize) -> Self {
        Self { nodes: Pool::new(1), max_chars }
    }

    fn add(&mut self, rng: &mut StdRng, draft: &mut Draft) {
        let id = self.nodes.free_id(rng);
        let parent = self.nodes.pick(rng).filter(|_| rng.random_bool(0.8));
        self.nodes
            .insert(id, Node { parent: None, children: Vec::new(), label: texts::text(rng, self.max_chars) });
        self.hang(draft, id, parent);
    }

    /// Whether a node is another one or in its subtree.
    fn is_below(&self, mut node: Option<i64>, top: i64) -> bool {
        while let Some(id) = node {
            if id == top {
                return true;
            }
            node = self.nodes.get(id).parent;
        }
        false
    }

    fn hang(&mut self, draft: &mut Draft, id: i64, to: Option<i64>) {
        if let Some(from) = std::mem::replace(&mut self.nodes.get_mut(id).parent, to) {
            self.nodes.get_mut(from).children.retain(|&child| child != id);
        }
        if let Some(to) = to {
            self.nodes.get_mut(to).children.push(id);
        }
        self.put(draft, id);
    }

    /// Deletes a node; its children move up in the same transaction.
    fn remove(&mut self, draft: &mut Draft, id: i64) {
        let children = self.nodes.get(id).children.clone();
        if children.len() + 1 > draft.room() {
            return;
        }
        let parent = self.nodes.get(id).parent;
        for child in children {
            self.hang(draft, child, parent);
        }
        if let Some(parent) = parent {
            self.nodes.get_mut(parent).children.retain(|&child| child != id);
        }
        self.nodes.remove(id);
        draft.delete(TREE, &[Value::int8(id)]);
    }

    fn put(&self, draft: &mut Draft, id: i64) {
        let node = self.nodes.get(id);
        let parent = node.parent.map_or_else(Value::null, Value::int8);
        draft.put(TREE, Row::new(vec![Value::int8(id), parent, Value::text_value(&node.label)]));
    }
}
