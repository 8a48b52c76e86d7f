//! A router's configuration changed in place: comments and all other keys stay as they are.

pub use super::uci::is_uci;
use super::uci::statements;

/// The value of an option.
#[must_use]
pub fn get(text: &str, key: &str) -> Option<String> {
    statements(text).find_map(|(_, words)| match words.as_slice() {
        [kind, name, value] if kind == "option" && name == key => Some(value.clone()),
        _ => None,
    })
}

/// The text with these lines, `option KEY 'VALUE'` or `list KEY 'VALUE'`, at the end of its one section, in place of all
/// that their keys had.
#[must_use]
pub fn set(text: &str, lines: &[String]) -> String {
    let is_replaced = |key: &str| lines.iter().any(|line| line.split_whitespace().nth(1) == Some(key));
    let mut new = String::with_capacity(text.len() + 256);
    let mut kept = 0;
    for (range, words) in statements(text) {
        if let [kind, key, ..] = words.as_slice()
            && matches!(kind.as_str(), "option" | "list")
            && is_replaced(key)
        {
            new.push_str(&text[kept..range.start]);
            kept = range.end;
        }
    }
    new.push_str(&text[kept..]);
    if !new.is_empty() && !new.ends_with('\n') {
        new.push('\n');
    }
    for line in lines {
        new.push('\t');
        new.push_str(line);
        new.push('\n');
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_replaces_what_was_there_and_the_rest_stays() {
        let text = "# mine\nconfig node 'main'\n\toption enabled '0' # off\n\n#\toption node 'a/b'\n\
                    \tlist x 'one'\n\tlist x 'two\nlines'\n\toption mtu '1400'";
        let new = set(text, &["option enabled '1'".to_owned(), "list x 'three'".to_owned()]);
        assert_eq!(
            new,
            "# mine\nconfig node 'main'\n\n#\toption node 'a/b'\n\toption mtu '1400'\n\toption enabled '1'\n\
             \tlist x 'three'\n"
        );
        assert_eq!((get(&new, "enabled"), get(&new, "node")), (Some("1".to_owned()), None));
        assert_eq!(set(&new, &["option enabled '1'".to_owned()]).matches("enabled").count(), 1);
    }

    #[test]
    fn a_text_that_is_broken_is_kept_for_its_faults_to_be_told() {
        let text = "config node\n option a 'b\n";
        assert!(set(text, &["option a '1'".to_owned()]).starts_with(text));
    }
}
