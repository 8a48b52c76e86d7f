//! A rule on one line, as a person would write it.

use std::fmt;

use crate::base::Name;
use crate::roster::{Action, Kind, Rule, Selector};

/// A rule in the roster of `owner`, whose tags go without a name.
#[derive(Debug)]
pub(super) struct Wording<'a> {
    pub(super) rule: &'a Rule,
    pub(super) owner: &'a Name,
}

impl fmt::Display for Wording<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.rule.action {
            Action::Allow => "allow ",
            Action::Deny => "deny ",
        })?;
        list(f, &self.rule.services, |f, service| service.fmt(f))?;
        for (word, selectors) in [(" from ", &self.rule.from), (" to ", &self.rule.to)] {
            if let Some(selectors) = selectors {
                f.write_str(word)?;
                list(f, selectors, |f, selector| self.selector(f, selector))?;
            }
        }
        Ok(())
    }
}

impl Wording<'_> {
    fn selector(&self, f: &mut fmt::Formatter<'_>, selector: &Selector) -> fmt::Result {
        match selector {
            Selector::Any => f.write_str("any"),
            Selector::Internet => f.write_str("internet"),
            Selector::Tag { owner, tag } if owner == self.owner => write!(f, "tag:{tag}"),
            Selector::Tag { owner, tag } => write!(f, "{owner}#tag:{tag}"),
            Selector::Kind(Kind::Station) => f.write_str("kind:station"),
            Selector::Kind(Kind::Application) => f.write_str("kind:application"),
            Selector::Kind(Kind::Gateway) => f.write_str("kind:gateway"),
            Selector::Cidr(prefix) => write!(f, "{prefix}"),
            Selector::Path(path) => {
                for (i, segment) in path.iter().enumerate() {
                    if i > 0 {
                        f.write_str("/")?;
                    }
                    f.write_str(segment.as_ref().map_or("*", Name::as_str))?;
                }
                Ok(())
            }
        }
    }
}

fn list<T>(
    f: &mut fmt::Formatter<'_>,
    items: &[T],
    write: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        write(f, item)?;
    }
    Ok(())
}
