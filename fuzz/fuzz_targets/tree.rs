//! Any text: the slices tile it, and reading them neither panics nor finds places outside.
#![no_main]

use kubemend::manifest::{Tree, identity, read_value, split};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let slices = split(text);
    let together: String = slices.iter().map(|s| s.of(text)).collect();
    assert_eq!(together, text);
    for slice in slices {
        let slice = slice.of(text);
        let _ = (identity(slice), read_value(slice));
        if let Ok(tree) = Tree::parse(slice) {
            tree.root.visit(&mut |node| assert!(slice.get(node.start..node.end).is_some()));
        }
    }
});
