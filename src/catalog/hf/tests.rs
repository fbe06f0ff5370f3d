use super::*;

#[test]
fn not_json_is_an_error() {
    assert!(matches!(Model::from_hf_config("nope"), Err(HfConfigError::NotAnObject(_))));
    assert!(matches!(Model::from_hf_config("[]"), Err(HfConfigError::NotAnObject(_))));
}
