//! Borrows that would be unsound must not compile; one file in `tests/ui` for each.

#[test]
fn misuse_of_borrows_does_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
}
