//! What `vpmesh explain --json` says, read back.

use serde_json::Value;

/// A verdict and the borders in the order they are crossed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    pub is_allowed: bool,
    pub borders: Vec<Border>,
}

/// One border's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Border {
    /// The node's path.
    pub border: String,
    /// `egress` or `ingress`.
    pub direction: String,
    pub is_allowed: bool,
    /// Without its folder.
    pub file: Option<String>,
    pub line: Option<u64>,
}

impl Explanation {
    /// # Panics
    /// When the text is not what the contract says.
    pub fn parse(text: &str) -> Self {
        let json: Value =
            serde_json::from_str(text).unwrap_or_else(|e| panic!("explain wrote no JSON ({e}): {text}"));
        let borders =
            json["borders"].as_array().unwrap_or_else(|| panic!("explain names no borders: {text}"));
        Self { is_allowed: is_allowed(&json), borders: borders.iter().map(Border::parse).collect() }
    }

    /// The borders that deny, as `egress of alice/attic`.
    pub fn deniers(&self) -> Vec<String> {
        let denying = self.borders.iter().filter(|border| !border.is_allowed);
        denying.map(|border| format!("{} of {}", border.direction, border.border)).collect()
    }
}

impl Border {
    fn parse(json: &Value) -> Self {
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        Self {
            border: text("border"),
            direction: text("direction"),
            is_allowed: is_allowed(json),
            file: json["file"].as_str().and_then(|file| file.rsplit('/').next()).map(str::to_owned),
            line: json["line"].as_u64(),
        }
    }
}

fn is_allowed(json: &Value) -> bool {
    match json["verdict"].as_str() {
        Some("allow") => true,
        Some("deny") => false,
        other => panic!("a verdict is allow or deny, not {other:?}"),
    }
}
