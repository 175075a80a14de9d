//! Finds the shortest cycle through each node of a small graph.
//!
//! What a node stands for is not known here: crates or modules (`crates`, `modules`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A directed graph: node, the nodes it points to.
pub(crate) type Graph = BTreeMap<String, BTreeSet<String>>;

/// One shortest cycle per set of nodes, each beginning with its smallest node. A node that points
/// to itself is no cycle.
pub(crate) fn cycles(graph: &Graph) -> Vec<Vec<String>> {
    let mut seen: BTreeSet<BTreeSet<&str>> = BTreeSet::new();
    let mut found = Vec::new();
    for start in graph.keys() {
        let Some(path) = shortest(graph, start) else {
            continue;
        };
        if seen.insert(path.iter().copied().collect()) {
            let least = (0..path.len()).min_by_key(|at| path[*at]).unwrap_or(0);
            let turned = path[least..].iter().chain(&path[..least]);
            found.push(turned.map(ToString::to_string).collect());
        }
    }
    found
}

/// The shortest way from `start` back to itself, by breadth.
fn shortest<'g>(graph: &'g Graph, start: &'g str) -> Option<Vec<&'g str>> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for next in graph.get(node)?.iter().map(String::as_str).filter(|next| *next != node) {
            if next == start {
                let mut path = vec![node];
                while let Some(before) = came_from.get(path[path.len() - 1]) {
                    path.push(before);
                }
                path.reverse();
                return Some(path);
            }
            if graph.contains_key(next) && !came_from.contains_key(next) {
                came_from.insert(next, node);
                queue.push_back(next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(edges: &[(&str, &str)]) -> Vec<String> {
        let mut graph = Graph::new();
        for (from, to) in edges {
            graph.entry((*from).into()).or_default().insert((*to).into());
        }
        cycles(&graph).iter().map(|cycle| cycle.join(" ")).collect()
    }

    #[test]
    fn a_graph_without_cycles() {
        assert_eq!(check(&[("a", "b"), ("a", "c"), ("b", "c"), ("c", "c"), ("c", "d")]), [""; 0]);
    }

    #[test]
    fn each_cycle_is_found_once() {
        assert_eq!(check(&[("b", "a"), ("a", "b")]), ["a b"]);
        assert_eq!(check(&[("c", "a"), ("a", "b"), ("b", "c"), ("x", "a")]), ["a b c"]);
        let two = [("a", "b"), ("b", "a"), ("c", "d"), ("d", "c"), ("b", "c")];
        assert_eq!(check(&two), ["a b", "c d"]);
    }
}
