use std::future::Future;

use tokio::sync::mpsc;

use super::*;
use crate::engine::{ExplainAnswer, ReloadReport};

/// A server whose loop answers `flows` with no rows, `explain` with "unknown", and nothing else.
fn with_server<F: Future<Output = ()>>(test: impl FnOnce(std::path::PathBuf) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        let listener = UnixListener::bind(&path).unwrap();
        let (notices, mut asked) = mpsc::channel(4);
        let (reloads, mut wishes) = mpsc::channel(4);
        let (deliveries, mut brought) = mpsc::channel::<Delivery>(4);
        let (kernel, _end) = Kernel::begin(notices.clone());
        tokio::spawn(serve(listener, Ears::new(Way { notices, deliveries }, reloads, kernel)));
        tokio::spawn(async move {
            while let Some(Delivery { signature, roster, reply, .. }) = brought.recv().await {
                let words = format!("{} and {} bytes", signature.len(), roster.len());
                reply.unwrap().send(Ok(words)).unwrap();
            }
        });
        tokio::spawn(async move {
            while let Some(notice) = asked.recv().await {
                let Notice::Ask(question, reply) = notice else { continue };
                let answer = match question {
                    Question::Explain { .. } => {
                        Answer::Explain(ExplainAnswer::unknown("no roster is loaded"))
                    }
                    _ => Answer::Flows(Vec::new()),
                };
                reply.send(answer).unwrap();
            }
        });
        tokio::spawn(async move {
            let reloaded = ReloadReport { owners: 2, ..ReloadReport::default() };
            while let Some(wish) = wishes.recv().await {
                let notes = vec!["bob is left out".into()];
                match wish {
                    Wish::Reload(within, reply) => {
                        reply.send(Ok(Reloaded { reloaded, errors: Vec::new(), notes, within })).unwrap();
                    }
                    Wish::Commit(reply) => reply.send(Err("nothing waits".to_owned())).unwrap(),
                }
            }
        });
        timeout(Duration::from_secs(20), test(path)).await.expect("the server answers");
    });
}

/// What the server says to these bytes, up to `lines` lines or its end.
async fn say(path: &std::path::Path, bytes: &[u8], lines: usize) -> Vec<String> {
    let mut stream = UnixStream::connect(path).await.unwrap();
    let _ = stream.write_all(bytes).await;
    let mut answers = Vec::new();
    let mut reader = BufReader::new(stream).lines();
    while answers.len() < lines {
        match reader.next_line().await {
            Ok(Some(line)) => answers.push(line),
            _ => break,
        }
    }
    answers
}

#[test]
fn a_line_is_answered_with_a_line_and_the_next_one_too() {
    with_server(async |path| {
        let requests = b"{\"cmd\":\"flows\"}\n{\"cmd\":\"reload\"}\n{\"cmd\":\"reload\",\"within\":60}\n\
            {\"cmd\":\"commit\"}\n";
        let answers = say(&path, requests, 4).await;
        assert!(answers[2].ends_with(r#","within":60}"#) && answers[3] == r#"{"error":"nothing waits"}"#);
        assert_eq!(answers[0], r#"{"rows":0}"#);
        assert!(
            answers[1].starts_with(r#"{"reloaded":{"owners":2,"#) && answers[1].contains("bob is left out")
        );
    });
}

#[test]
fn what_is_not_understood_is_refused_and_the_talk_goes_on() {
    with_server(async |path| {
        let requests = b"\xff\x00\n{}\n{\"cmd\":\"explain\",\"from\":\"?\",\"to\":\"internet\",\"service\":\"any\"}\n\
            {\"cmd\":\"explain\",\"from\":\"internet\",\"to\":\"internet\",\"service\":\"tcp\"}\n{\"cmd\":\"flows\"}\n";
        let answers = say(&path, requests, 5).await;
        assert!(answers[..4].iter().all(|answer| answer.starts_with(r#"{"error":""#)), "{answers:?}");
        assert!(answers[2].contains("write a node's path") && answers[3].contains("write any, icmp"));
        assert_eq!(answers[4], r#"{"rows":0}"#);
    });
}

#[test]
fn a_line_without_an_end_is_refused() {
    with_server(async |path| {
        let answers = say(&path, &vec![b'x'; 1 << 20], 9).await;
        assert_eq!(answers, [r#"{"error":"a request has at most 4096 bytes and a newline"}"#]);
    });
}

#[test]
fn one_client_too_many_is_told_so_and_has_a_place_later() {
    with_server(async |path| {
        let mut clients = Vec::new();
        for _ in 0..CLIENTS_MAX {
            let mut client = UnixStream::connect(&path).await.unwrap();
            client.write_all(b"{\"cmd\":\"flows\"}\n").await.unwrap();
            let mut answer = [0; 11];
            client.read_exact(&mut answer).await.unwrap();
            clients.push(client);
        }
        let answers = say(&path, b"", 1).await;
        assert!(answers[0].contains("8 clients are being served"), "{answers:?}");
        drop(clients);
        while say(&path, b"{\"cmd\":\"flows\"}\n", 1).await != [r#"{"rows":0}"#] {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn of_many_flows_the_largest_are_told_the_largest_first() {
    with_server(|path| async move {
        let said = say(&path, b"{\"cmd\":\"flows\",\"largest\":2}\n", 1).await;
        assert_eq!(said, [r#"{"rows":0,"of":0}"#]);
        let flow = r#"{"from":"alice/attic/nas","to":"internet","protocol":6,"source":"10.88.1.10","source_port":1,
            "destination":"192.0.2.1","destination_port":2,"carrier":"kernel","other_carrier":"kernel","state":"new",
            "forward":{"packets":0,"bytes":0},"back":{"packets":0,"bytes":0},"age":0,"idle":0}"#;
        let mut rows: Vec<FlowRow> = vec![serde_json::from_str(flow).unwrap(); 1000];
        for (at, row) in (0..).zip(&mut rows) {
            row.age = at;
            *(if at % 2 == 0 { &mut row.forward.bytes } else { &mut row.back.bytes }) = at * 7919 % 1009;
        }
        let carried = |rows: &[FlowRow]| -> Vec<u64> {
            rows.iter().map(|row| row.forward.bytes + row.back.bytes).collect()
        };
        let mut all = carried(&rows);
        all.sort_unstable_by_key(|bytes| Reverse(*bytes));
        assert_eq!(carried(&largest(rows.clone(), 300).await), all[..300]);
        assert_eq!(carried(&largest(rows, 5000).await), all, "fewer than that are all");
    });
}
