//! What clients ask the daemon, and what it answers: the control socket's JSON.
//!
//! A request is one line, `{"cmd": "status"}`; so is the answer, but for rows: `{"rows": 2}` and two lines more. A
//! refusal is `{"error": "…"}`.

use serde::{Deserialize, Serialize};

use super::status::DaemonStatus;
use crate::engine::{ExplainAnswer, FlowRow, PeerRow, ReloadReport};
use crate::roster::{Party, Service};

/// A request, as it stands on its line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "lowercase", try_from = "Line")]
pub enum Request {
    Status,
    Flows {
        /// Only so many, those that carried most, the largest first.
        #[serde(skip_serializing_if = "Option::is_none")]
        largest: Option<u32>,
    },
    Peers,
    /// So many bytes of a signature file and then of a roster follow the line.
    Publish {
        signature: usize,
        roster: usize,
    },
    Reload {
        /// Seconds after which it is rolled back unless it is confirmed.
        #[serde(skip_serializing_if = "Option::is_none")]
        within: Option<u32>,
    },
    /// Confirms a reload that would be rolled back.
    Commit,
    Explain {
        from: String,
        to: String,
        service: String,
    },
}

/// A request before it is known which: what serde makes of a tagged enum is four times as large.
#[derive(Debug, Deserialize)]
struct Line {
    cmd: String,
    largest: Option<u32>,
    signature: Option<usize>,
    roster: Option<usize>,
    within: Option<u32>,
    from: Option<String>,
    to: Option<String>,
    service: Option<String>,
}

impl TryFrom<Line> for Request {
    type Error = String;

    fn try_from(line: Line) -> Result<Self, String> {
        let missing = |name: &str| format!("{} needs {name:?}", line.cmd);
        Ok(match line.cmd.as_str() {
            "status" => Self::Status,
            "flows" => Self::Flows { largest: line.largest },
            "peers" => Self::Peers,
            "publish" => Self::Publish {
                signature: line.signature.ok_or_else(|| missing("signature"))?,
                roster: line.roster.ok_or_else(|| missing("roster"))?,
            },
            "reload" => Self::Reload { within: line.within },
            "commit" => Self::Commit,
            "explain" => Self::Explain {
                from: line.from.ok_or_else(|| missing("from"))?,
                to: line.to.ok_or_else(|| missing("to"))?,
                service: line.service.ok_or_else(|| missing("service"))?,
            },
            other => {
                return Err(format!(
                    "{other:?} is no command; say status, flows, peers, publish, reload, commit or explain"
                ));
            }
        })
    }
}

/// A request that the event loop answers, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    Status,
    Flows,
    Peers,
    Explain { from: Party, to: Party, service: Service },
}

/// What the event loop answers.
#[derive(Debug)]
pub enum Answer {
    Status(Box<DaemonStatus>),
    Flows(Vec<FlowRow>),
    Peers(Vec<PeerRow>),
    Explain(ExplainAnswer),
}

/// The answer to `reload`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    pub reloaded: ReloadReport,
    /// What is wrong all the same: rosters left out at a start, a disk that keeps nothing.
    #[serde(default)]
    pub errors: Vec<String>,
    pub notes: Vec<String>,
    /// Seconds until it is rolled back, unless it is confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<u32>,
}

/// The answer to `commit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    pub committed: bool,
    /// What is wrong all the same: a disk that keeps nothing.
    #[serde(default)]
    pub errors: Vec<String>,
}

/// The answer to `publish`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// What became of the roster, in words.
    pub published: String,
}

/// The first line of an answer in rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    pub rows: usize,
    /// How many there are, where only the largest were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<usize>,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorLine {
    pub error: String,
}

/// One end of a question: `internet`, an address, or a node's path.
///
/// # Errors
/// What is wrong with the text, and the mend.
pub fn party(text: &str) -> Result<Party, String> {
    text.parse().map_err(|error| format!("{text:?} {error}; write a node's path, an address, or internet"))
}

/// A service: `any`, `icmp`, `tcp/22`, `udp/5000-5010`, `proto/47`.
///
/// # Errors
/// What is wrong with the text, and the mend.
pub fn service(text: &str) -> Result<Service, String> {
    text.parse().map_err(|error| {
        format!("{text:?} {error}; write any, icmp, tcp/PORT, udp/FIRST-LAST or proto/NUMBER")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_party_is_internet_an_address_or_a_path() {
        assert_eq!(party("internet"), Ok(Party::Internet));
        assert_eq!(party("::ffff:10.0.0.1"), Ok(Party::Address("10.0.0.1".parse().unwrap())));
        assert_eq!(party("alice/attic"), Ok(Party::Node("alice/attic".parse().unwrap())));
        assert!(party("Alice").unwrap_err().contains("write a node's path"));
    }

    #[test]
    fn a_service_is_what_a_roster_writes() {
        for text in ["any", "icmp", "tcp/22", "udp/5000-5010", "proto/47"] {
            assert_eq!(service(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "tcp",
            "tcp/",
            "tcp/65536",
            "tcp/9-8",
            "tcp/+22",
            "sctp/1",
            "proto/256",
            "icmp/8",
            "tcp/1-2-3",
        ] {
            assert!(service(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_request_is_a_line_of_json() {
        let request: Request = serde_json::from_str(r#"{"cmd":"status"}"#).unwrap();
        assert_eq!(request, Request::Status);
        let asked = r#"{"cmd":"explain","from":"internet","to":"alice","service":"any"}"#;
        let request: Request = serde_json::from_str(asked).unwrap();
        assert_eq!(serde_json::to_string(&request).unwrap(), asked);
        assert!(serde_json::from_str::<Request>(r#"{"cmd":"stop"}"#).is_err());
        let request: Request = serde_json::from_str(r#"{"cmd":"reload"}"#).unwrap();
        assert_eq!(request, Request::Reload { within: None });
        let request: Request = serde_json::from_str(r#"{"cmd":"reload","within":60}"#).unwrap();
        assert_eq!(request, Request::Reload { within: Some(60) });
    }
}
