//! The table of what is proven, as the documentation has it.

use metron_sim::scenario::proof_table_markdown;

#[test]
fn the_table_of_the_documentation_is_the_codes() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/proofs.md");
    let text = std::fs::read_to_string(file).expect("docs/proofs.md");
    let table = proof_table_markdown();
    assert!(text.contains(&table), "docs/proofs.md should have this table:\n{table}");
}
