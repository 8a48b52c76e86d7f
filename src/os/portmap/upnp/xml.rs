//! As much of XML as routers' descriptions and answers need: tags, one after the other, with the text behind each.
//!
//! No tree and no entities; prefixes of names are left out. One pass, whatever the input.

/// A tag, and the text up to the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag<'x> {
    pub(super) name: &'x str,
    pub(super) closes: bool,
    pub(super) text: &'x str,
}

/// Every tag of a text, in order. Comments and declarations are left out.
pub(super) fn tags(mut rest: &str) -> impl Iterator<Item = Tag<'_>> {
    std::iter::from_fn(move || {
        loop {
            rest = &rest[rest.find('<')? + 1..];
            if let Some(comment) = rest.strip_prefix("!--") {
                rest = &comment[comment.find("-->")?..];
                continue;
            }
            let (inside, behind) = rest.split_once('>')?;
            rest = behind;
            if inside.starts_with(['?', '!']) {
                continue;
            }
            let closes = inside.starts_with('/');
            let name = inside.trim_start_matches('/').split([' ', '\t', '\r', '\n', '/']).next()?;
            let name = name.rsplit(':').next()?;
            let text = rest[..rest.find('<').unwrap_or(rest.len())].trim();
            return Some(Tag { name, closes, text });
        }
    })
}

/// The text of the first element of this name.
pub(super) fn text<'x>(xml: &'x str, name: &str) -> Option<&'x str> {
    tags(xml).find(|tag| !tag.closes && tag.name == name).map(|tag| tag.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_whatever_the_prefix() {
        let xml = "<?xml version=\"1.0\"?><!-- <a>no</a> --><s:Body><u:a x='1'> yes </u:a><b/></s:Body>";
        assert_eq!(text(xml, "a"), Some("yes"));
        assert_eq!(text(xml, "b"), Some(""));
        assert_eq!(text(xml, "c"), None);
        let names: Vec<_> = tags(xml).map(|tag| (tag.name, tag.closes)).collect();
        assert_eq!(names, [("Body", false), ("a", false), ("a", true), ("b", false), ("Body", true)]);
    }

    #[test]
    fn what_is_no_xml_has_no_tags() {
        for xml in ["", "<", "<<<", "<!--", "<!-- -->", "a > b", "<?", "<!-->"] {
            assert_eq!(tags(xml).count(), 0, "{xml}");
        }
        assert_eq!(tags("<></ ><a").count(), 2);
    }
}
