//! What is told of a stream, by level, limit and order of its callbacks.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod support;

use support::decode::Part;
use support::{
    FakeProxy, MILLISECOND, PRINCIPAL, ROOT, advance, answer, block, chunk, end, posted, request, response, seal, tap,
};
use tap_core::caller::MAX_PRINCIPAL;
use tap_core::headers::Pairs;
use tap_core::host::{Block, Direction};
use tap_core::tap::Tap;

fn whole(tap: &mut Tap<FakeProxy>, path: &str) -> Part {
    request(tap, 2, path, "id-2");
    advance(tap, MILLISECOND);
    chunk(tap, 2, Direction::Request, b"question", true);
    response(tap, 2);
    chunk(tap, 2, Direction::Response, b"ans", false);
    advance(tap, MILLISECOND);
    chunk(tap, 2, Direction::Response, b"wer", false);
    chunk(tap, 2, Direction::Response, b"", true);
    end(tap, 2);
    seal(tap);
    posted(tap).remove(0).parts.remove(0)
}

fn text(part: &Part, block: Block) -> String {
    let pairs = Pairs::new(&part.blocks[block as usize].as_ref().unwrap().0).map(Result::unwrap);
    let text = pairs.map(|(name, value)| [name, b"=", value].concat()).collect::<Vec<_>>().join(&b' ');
    String::from_utf8(text).unwrap()
}

#[test]
fn one_part_tells_a_whole_exchange() {
    let mut tap = tap("");
    let part = whole(&mut tap, "/v1/chat?user=7");
    assert_eq!((part.stream, part.index, part.level, part.rule.as_str()), (2, 0, 4, ""));
    assert_eq!(part.request_id, b"id-2");
    assert_eq!(part.start_us, support::START_NS / 1_000);
    let headers = ":method=POST :path=/v1/chat?user=7 x-request-id=id-2 authorization=[redacted]";
    assert_eq!(text(&part, Block::RequestHeaders), headers);
    assert_eq!(text(&part, Block::ResponseHeaders), ":status=200 set-cookie=[redacted]");
    let (request, response) = (&part.runs[0], &part.runs[1]);
    assert_eq!((request.data.as_slice(), &request.times_us), (b"question".as_slice(), &vec![1_000]));
    assert_eq!((response.data.as_slice(), &response.lengths), (b"answer".as_slice(), &vec![3, 3]));
    assert_eq!(response.times_us, [1_000, 2_000]);
    assert_eq!(part.end, Some([2_000, 8, 6, 1, 1, 0, 0, 0]));
}

#[test]
fn a_clean_stream_costs_one_property_read_and_one_for_who_called() {
    for (extra, reads) in [(r#","caller_principal":false"#, 1), ("", 2)] {
        let mut tap = tap(extra);
        let before = tap.host().reads.get();
        whole(&mut tap, "/");
        assert_eq!(tap.host().reads.get() - before, reads, "{extra}");
    }
}

/// The flags told at the end of a stream with this status (empty: no response headers) whose halves ended or did not.
fn flags(extra: &str, status: &str, request_ends: bool, response_ends: bool) -> u64 {
    let mut tap = tap(extra);
    request(&mut tap, 2, "/", "id");
    chunk(&mut tap, 2, Direction::Request, b"question", request_ends);
    if !status.is_empty() {
        block(&mut tap, 2, Block::ResponseHeaders, &[(":status", status)], false);
    }
    chunk(&mut tap, 2, Direction::Response, b"answer", response_ends);
    end(&mut tap, 2);
    seal(&mut tap);
    posted(&tap)[0].parts[0].end.unwrap()[5]
}

#[test]
fn response_flags_are_told_unless_the_stream_ended_cleanly() {
    assert_eq!((flags("", "200", true, true), flags("", "304", true, true)), (0, 0));
    assert_eq!((flags("", "200", false, true), flags("", "200", true, false)), (0x4000, 0x4000));
    for status in ["400", "503", "", "2", "nonsense"] {
        assert_eq!(flags("", status, true, true), 0x4000, "{status}");
    }
    assert_eq!(flags(r#","rules":[{"name":"n","level":"none"}]"#, "200", true, true), 0x4000, "the status is not read");
}

#[test]
fn request_headers_are_told_with_the_streams_start() {
    let mut tap = tap("");
    advance(&tap, MILLISECOND);
    request(&mut tap, 2, "/", "id");
    advance(&tap, MILLISECOND);
    response(&mut tap, 2);
    seal(&mut tap);
    let part = posted(&tap).remove(0).parts.remove(0);
    assert_eq!((part.blocks[0].as_ref().unwrap().1, part.blocks[2].as_ref().unwrap().1), (0, 2_000));
}

#[test]
fn an_end_tells_how_many_header_blocks_found_no_room() {
    let mut tap = tap(r#","queue_bytes":65536,"batch_bytes":32768"#);
    let large = "x".repeat(70_000);
    request(&mut tap, 2, &large, "id-2");
    block(&mut tap, 2, Block::ResponseHeaders, &[(":status", &large)], false);
    block(&mut tap, 2, Block::ResponseTrailers, &[("grpc-status", "0")], true);
    request(&mut tap, 3, "/", "id-3");
    end(&mut tap, 2);
    end(&mut tap, 3);
    seal(&mut tap);
    let batch = posted(&tap).remove(0);
    assert_eq!(batch.parts.iter().map(|part| part.end.unwrap()[7]).collect::<Vec<_>>(), [2, 0]);
    assert!(batch.parts[0].blocks[3].is_some());
    assert_eq!(batch.totals.drops, [[1, 0, 2, 0]]);
}

#[test]
fn levels_tell_what_they_promise() {
    for (level, number, runs) in [("metadata", 2, 1), ("request", 3, 2), ("request_response", 4, 2)] {
        let mut tap = tap(&format!(r#","rules":[{{"name":"r","level":"{level}"}}]"#));
        let part = whole(&mut tap, "/");
        assert_eq!((part.level, part.rule.as_str(), part.runs.len()), (number, "r", runs));
        let response = part.runs.last().unwrap();
        assert_eq!((&response.lengths, response.data.is_empty()), (&vec![3, 3], number < 4));
        assert_eq!(part.end.unwrap()[1..3], [8, 6]);
    }
}

#[test]
fn level_none_tells_only_the_end() {
    let mut tap = tap(r#","rules":[{"name":"probes","path":{"prefix":"/health"},"level":"none"}]"#);
    let part = whole(&mut tap, "/healthz?x");
    assert_eq!((part.level, part.rule.as_str(), part.request_id.as_slice()), (1, "probes", b"id-2".as_slice()));
    assert!(part.blocks.iter().all(Option::is_none) && part.runs.is_empty());
    assert_eq!(part.end.unwrap()[1..5], [8, 6, 1, 1]);
}

#[test]
fn behind_the_body_limit_lengths_and_times_go_on() {
    let mut tap = tap(r#","response_body_bytes":4"#);
    let part = whole(&mut tap, "/");
    assert_eq!(part.runs[1].data, b"answ");
    assert_eq!(part.runs[1].lengths, [3, 3]);
}

#[test]
fn trailers_complete_a_message_and_are_redacted() {
    let mut tap = tap("");
    request(&mut tap, 2, "/", "id");
    block(&mut tap, 2, Block::RequestTrailers, &[("x-access-token", "t")], true);
    response(&mut tap, 2);
    block(&mut tap, 2, Block::ResponseTrailers, &[("grpc-status", "0")], true);
    end(&mut tap, 2);
    seal(&mut tap);
    let part = posted(&tap).remove(0).parts.remove(0);
    assert_eq!(text(&part, Block::RequestTrailers), "x-access-token=[redacted]");
    assert_eq!(text(&part, Block::ResponseTrailers), "grpc-status=0");
    assert_eq!(part.end.unwrap()[3..5], [1, 1]);
}

#[test]
fn a_stream_that_is_only_logged_is_told_with_its_code() {
    let mut tap = tap("");
    end(&mut tap, 2);
    seal(&mut tap);
    let part = posted(&tap).remove(0).parts.remove(0);
    assert_eq!(part.end, Some([0, 0, 0, 0, 0, 0x4000, 400, 0]));
}

#[test]
fn the_caller_is_told_only_where_it_is_wanted() {
    for (extra, told) in [("", ""), (r#","caller_address":true"#, "10.0.0.7:41000"), (r#","caller_address":false"#, "")]
    {
        let mut tap = tap(extra);
        request(&mut tap, 2, "/", "id");
        seal(&mut tap);
        assert_eq!(posted(&tap)[0].parts[0].downstream, told);
    }
}

/// The principals of a stream's two parts. `known` are the properties in place of the usual certificate.
fn principals(extra: &str, known: &[(&str, &[u8])]) -> [String; 2] {
    let mut tap = tap(extra);
    tap.host().properties.borrow_mut().remove(CERTIFICATE);
    let known = known.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec()));
    tap.host().properties.borrow_mut().extend(known);
    let forged = "By=spiffe://a/b;Hash=00;URI=spiffe://cluster.local/ns/forged/sa/admin";
    let pairs = [(":method", "POST"), (":path", "/"), ("x-forwarded-client-cert", forged)];
    block(&mut tap, 2, Block::RequestHeaders, &pairs, true);
    chunk(&mut tap, 2, Direction::Response, b"one", false);
    seal(&mut tap);
    response(&mut tap, 2);
    end(&mut tap, 2);
    seal(&mut tap);
    let parts: Vec<_> = posted(&tap).into_iter().flat_map(|batch| batch.parts).collect();
    let told: Vec<_> = parts.into_iter().map(|part| part.principal).collect();
    told.try_into().unwrap_or_else(|told: Vec<String>| [String::new(), format!("{told:?}")])
}

const CERTIFICATE: &str = "connection.uri_san_peer_certificate";
const TUNNELLED: &str = "filter_state.io.istio.peer_principal";

#[test]
fn the_callers_principal_is_told_once_and_as_the_connection_says() {
    let (one, two) = ("spiffe://cluster.local/ns/a/sa/one", "spiffe://cluster.local/ns/a/sa/two");
    for (known, told) in [
        (vec![(CERTIFICATE, one)], one),
        (vec![(CERTIFICATE, one), (TUNNELLED, two)], one),
        (vec![(CERTIFICATE, ""), (TUNNELLED, two)], two),
        (vec![(TUNNELLED, two)], two),
        (vec![], ""),
    ] {
        let known: Vec<_> = known.into_iter().map(|(name, value)| (name, value.as_bytes())).collect();
        assert_eq!(principals("", &known), [told, ""], "{known:?}");
        assert_eq!(principals(r#","caller_principal":false"#, &known), ["", ""]);
    }
}

#[test]
fn a_principal_that_cannot_be_told_whole_is_not_told() {
    let (longest, longer) = ([b'x'; MAX_PRINCIPAL], [b'x'; MAX_PRINCIPAL + 1]);
    assert_eq!(principals("", &[(CERTIFICATE, &longest)])[0].len(), MAX_PRINCIPAL);
    for odd in [longer.as_slice(), b"spiffe://cluster.local/ns/\xff"] {
        assert_eq!(principals("", &[(CERTIFICATE, odd)]), ["", ""]);
    }
}

#[test]
fn a_stream_below_the_policy_tells_who_called() {
    let mut tap = tap(r#","rules":[{"name":"n","level":"none"}]"#);
    request(&mut tap, 2, "/", "id");
    end(&mut tap, 2);
    seal(&mut tap);
    assert_eq!(posted(&tap)[0].parts[0].principal, PRINCIPAL);
}

#[test]
fn parts_of_a_long_stream_are_numbered_and_keep_their_key() {
    let mut tap = tap(r#","caller_address":true"#);
    request(&mut tap, 2, "/", "id");
    seal(&mut tap);
    chunk(&mut tap, 2, Direction::Response, b"one", false);
    seal(&mut tap);
    chunk(&mut tap, 2, Direction::Response, b"two", true);
    end(&mut tap, 2);
    seal(&mut tap);
    let batches = posted(&tap);
    let parts: Vec<_> = batches.iter().map(|batch| &batch.parts[0]).collect();
    assert_eq!(parts.iter().map(|part| part.index).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(parts.iter().all(|part| part.request_id == b"id" && part.downstream == "10.0.0.7:41000"));
    assert_eq!((parts[2].runs[0].offset, parts[2].runs[0].data.as_slice()), (3, b"two".as_slice()));
    assert_eq!(batches[2].totals.ends_sealed, 1);
}

#[test]
fn a_large_body_is_cut_into_batches_between_chunks() {
    let mut tap = tap(r#","batch_bytes":4096"#);
    request(&mut tap, 2, "/", "id");
    (0..8).for_each(|_| chunk(&mut tap, 2, Direction::Request, &[7; 1_500], false));
    end(&mut tap, 2);
    seal(&mut tap);
    let batches = posted(&tap);
    assert!(batches.len() >= 3);
    let parts: Vec<_> = batches.iter().flat_map(|batch| &batch.parts).collect();
    assert!(parts[..parts.len() - 1].iter().all(|part| part.end.is_none()) && parts.last().unwrap().end.is_some());
    assert_eq!(parts.iter().flat_map(|part| &part.runs).map(|run| run.data.len()).sum::<usize>(), 12_000);
}

#[test]
fn a_full_queue_drops_bodies_first_and_tells_it() {
    let mut tap = tap(r#","queue_bytes":65536,"batch_bytes":32768"#);
    request(&mut tap, 2, "/", "id");
    (0..40).for_each(|_| chunk(&mut tap, 2, Direction::Response, &[7; 2_000], false));
    end(&mut tap, 2);
    for token in 1..=4 {
        seal(&mut tap);
        answer(&mut tap, token, "200");
    }
    let totals = posted(&tap).pop().unwrap().totals;
    let sent: usize = posted(&tap).iter().flat_map(|b| &b.parts).flat_map(|p| &p.runs).map(|r| r.data.len()).sum();
    assert_eq!((totals.ends, totals.ends_sealed), (1, 1));
    let [reason, ends, fragments, bytes] = totals.drops[0];
    assert_eq!((totals.drops.len(), reason, ends), (1, 2, 0));
    assert_eq!((fragments * 2_000, bytes + sent as u64), (bytes, 80_000));
}

#[test]
fn totals_alone_follow_a_drop_once() {
    let mut tap = tap(r#","queue_bytes":65536,"batch_bytes":1024"#);
    request(&mut tap, 2, "/", "id");
    seal(&mut tap);
    answer(&mut tap, 1, "200");
    chunk(&mut tap, 2, Direction::Response, &[0; 70_000], false);
    (0..20).for_each(|_| seal(&mut tap));
    let batches = posted(&tap);
    assert_eq!((batches.len(), batches[1].parts.len()), (2, 0));
    assert_eq!(batches[1].totals.drops, [[1, 0, 1, 70_000]]);
}

#[test]
fn an_over_long_request_id_is_cut() {
    let mut tap = tap("");
    request(&mut tap, 2, "/", &"i".repeat(5_000));
    end(&mut tap, 2);
    seal(&mut tap);
    assert_eq!(posted(&tap)[0].parts[0].request_id.len(), 1_024);
}

#[test]
fn unreadable_headers_pass_on_empty_and_are_counted() {
    let mut tap = tap("");
    tap.host().blocks.borrow_mut().insert(0, b"\xff\xff\xff\xffgarbage".to_vec());
    tap.on_block(2, Block::RequestHeaders, true);
    seal(&mut tap);
    assert_eq!(posted(&tap)[0].parts[0].blocks[0].as_ref().unwrap().0, [0; 4]);
    assert_eq!(support::counted(&tap, "UnreadableBlocks"), 1);
}

/// The captured bytes of a body, and its tails with their offsets.
type Told = (Vec<u8>, Vec<(u64, Vec<u8>)>);

/// What was told of a stream, by direction.
fn told(tap: &mut Tap<FakeProxy>) -> [Told; 2] {
    end(tap, 2);
    seal(tap);
    let mut told: [Told; 2] = Default::default();
    for part in posted(tap).into_iter().flat_map(|batch| batch.parts) {
        part.runs.into_iter().for_each(|run| told[run.direction as usize].0.extend(run.data));
        part.tails.into_iter().for_each(|(way, offset, data)| told[way as usize].1.push((offset, data)));
    }
    told
}

fn bytes(from: u32, to: u32) -> Vec<u8> {
    (from..to).map(|at| (at % 251) as u8).collect()
}

#[test]
fn a_long_body_is_told_by_its_beginning_and_its_end() {
    for step in [1, 7, 90, 100, 1_000] {
        let mut tap = tap(r#","request_body_bytes":100,"response_body_bytes":300,"tail_bytes":50"#);
        request(&mut tap, 2, "/", "id");
        bytes(0, 1_000).chunks(step).for_each(|piece| chunk(&mut tap, 2, Direction::Request, piece, false));
        response(&mut tap, 2);
        bytes(0, 320).chunks(step).for_each(|piece| chunk(&mut tap, 2, Direction::Response, piece, false));
        let expected = [(bytes(0, 100), vec![(950, bytes(950, 1_000))]), (bytes(0, 300), vec![(300, bytes(300, 320))])];
        assert_eq!(told(&mut tap), expected, "in pieces of {step}");
    }
}

/// The headers with which a server takes up a WebSocket.
fn upgraded(tap: &mut Tap<FakeProxy>, stream: u32) {
    block(tap, stream, Block::ResponseHeaders, &[(":status", "101"), ("upgrade", "websocket")], false);
}

#[test]
fn of_what_is_answered_on_a_websocket_more_is_captured() {
    let limits =
        r#","request_body_bytes":100,"response_body_bytes":100,"websocket_response_bytes":400,"tail_bytes":50"#;
    for step in [7, 90, 1_000] {
        let mut tap = tap(limits);
        request(&mut tap, 2, "/v1/responses", "id");
        upgraded(&mut tap, 2);
        for direction in [Direction::Request, Direction::Response] {
            bytes(0, 1_000).chunks(step).for_each(|piece| chunk(&mut tap, 2, direction, piece, false));
        }
        let expected = |limit| (bytes(0, limit), vec![(950, bytes(950, 1_000))]);
        assert_eq!(told(&mut tap), [expected(100), expected(400)], "in pieces of {step}");
    }
}

#[test]
fn of_a_websocket_nothing_is_captured_where_nothing_is_wanted() {
    for extra in [
        r#","response_body_bytes":0"#,
        r#","websocket_response_bytes":0"#,
        r#","rules":[{"name":"m","level":"metadata"}]"#,
    ] {
        let mut tap = tap(extra);
        request(&mut tap, 2, "/v1/responses", "id");
        upgraded(&mut tap, 2);
        chunk(&mut tap, 2, Direction::Response, &bytes(0, 300), false);
        assert_eq!(told(&mut tap)[1], (vec![], vec![]), "{extra}");
    }
}

#[test]
fn a_body_at_its_limit_has_no_tail() {
    let mut tap = tap(r#","request_body_bytes":100,"tail_bytes":50"#);
    request(&mut tap, 2, "/", "id");
    chunk(&mut tap, 2, Direction::Request, &bytes(0, 100), true);
    assert_eq!(told(&mut tap)[0], (bytes(0, 100), vec![]));
}

#[test]
fn where_no_bytes_are_wanted_there_is_no_tail() {
    for extra in [
        r#","request_body_bytes":0,"response_body_bytes":0"#,
        r#","tail_bytes":0,"request_body_bytes":1,"response_body_bytes":1"#,
        r#","rules":[{"name":"m","level":"metadata"}]"#,
    ] {
        let mut tap = tap(extra);
        request(&mut tap, 2, "/", "id");
        chunk(&mut tap, 2, Direction::Request, &bytes(0, 100), true);
        response(&mut tap, 2);
        chunk(&mut tap, 2, Direction::Response, &[7; 2 << 20], true);
        let [(_, asked), (_, answered)] = told(&mut tap);
        assert_eq!((asked, answered), (vec![], vec![]), "{extra}");
    }
}

#[test]
fn a_tail_is_told_when_its_body_ends_and_not_when_the_stream_does() {
    let mut tap = tap(r#","request_body_bytes":10,"response_body_bytes":10,"tail_bytes":5"#);
    request(&mut tap, 2, "/", "id");
    chunk(&mut tap, 2, Direction::Request, &bytes(0, 20), false);
    seal(&mut tap);
    answer(&mut tap, 1, "200");
    chunk(&mut tap, 2, Direction::Request, &[], true);
    response(&mut tap, 2);
    chunk(&mut tap, 2, Direction::Response, &bytes(0, 20), false);
    block(&mut tap, 2, Block::ResponseTrailers, &[], true);
    seal(&mut tap);
    let tails: Vec<_> = posted(&tap).into_iter().map(|batch| batch.parts[0].tails.clone()).collect();
    assert_eq!(tails, [vec![], vec![(0, 15, bytes(15, 20)), (1, 15, bytes(15, 20))]]);
    assert_eq!(tap.root(ROOT).unwrap().borrow().queue.totals.drops.sum().fragments, 0);
}

#[test]
fn tails_of_open_bodies_take_a_quarter_of_the_queue_and_what_finds_no_room_is_counted() {
    let mut tap = tap(r#","queue_bytes":65536,"batch_bytes":16384,"response_body_bytes":1,"tail_bytes":4096"#);
    for stream in 2..12 {
        request(&mut tap, stream, "/", "id");
        response(&mut tap, stream);
        chunk(&mut tap, stream, Direction::Response, &[7; 9_000], false);
    }
    let held = |tap: &Tap<FakeProxy>| {
        let root = tap.root(ROOT).unwrap().borrow();
        root.queue.held() - root.queue.used()
    };
    assert_eq!(held(&tap), 4 * 4_096);
    (2..12).for_each(|stream| end(&mut tap, stream));
    assert_eq!(held(&tap), 0);
    (1..10).for_each(|token| {
        seal(&mut tap);
        answer(&mut tap, token, "200");
    });
    let batches = posted(&tap);
    let tails: Vec<usize> = batches.iter().flat_map(|b| &b.parts).flat_map(|p| &p.tails).map(|t| t.2.len()).collect();
    assert_eq!(tails, [4_096; 4]);
    assert_eq!(batches.last().unwrap().totals.drops, [[2, 0, 6, 6 * 4_096]]);
}

/// Drops by reason so far: fragments and bytes.
fn dropped(tap: &mut Tap<FakeProxy>) -> Vec<[u64; 3]> {
    seal(tap);
    let last = posted(tap).pop().unwrap();
    last.totals.drops.iter().map(|[reason, _, fragments, bytes]| [*reason, *fragments, *bytes]).collect()
}

/// Bodies until their share is full.
fn fill(tap: &mut Tap<FakeProxy>, stream: u32) {
    let lost = |tap: &Tap<FakeProxy>| tap.root(ROOT).unwrap().borrow().queue.totals.drops.sum().fragments;
    let before = lost(tap);
    while lost(tap) == before {
        chunk(tap, stream, Direction::Request, &[1; 16], false);
    }
}

#[test]
fn a_tail_keeps_its_room_where_the_bodies_share_is_full() {
    let mut tap = tap(r#","queue_bytes":65536,"batch_bytes":16384,"response_body_bytes":1,"tail_bytes":2048"#);
    for stream in 2..10 {
        request(&mut tap, stream, "/", "id");
        response(&mut tap, stream);
        chunk(&mut tap, stream, Direction::Response, &bytes(0, 9_000), false);
    }
    request(&mut tap, 1, "/", "id");
    for stream in 2..10 {
        fill(&mut tap, 1);
        chunk(&mut tap, stream, Direction::Response, &[], true);
    }
    (1..30).for_each(|token| {
        seal(&mut tap);
        answer(&mut tap, token, "200");
    });
    let tails: Vec<_> = posted(&tap).into_iter().flat_map(|b| b.parts).flat_map(|p| p.tails).collect();
    assert_eq!(tails, vec![(1, 9_000 - 2_048, bytes(9_000 - 2_048, 9_000)); 8]);
}

#[test]
fn a_tail_that_found_room_late_counts_what_it_lacks() {
    let mut tap = tap(r#","queue_bytes":65536,"batch_bytes":16384,"response_body_bytes":1,"tail_bytes":16384"#);
    for stream in [2, 4] {
        request(&mut tap, stream, "/", "id");
        response(&mut tap, stream);
        chunk(&mut tap, stream, Direction::Response, &[7; 20_000], false);
    }
    end(&mut tap, 2);
    chunk(&mut tap, 4, Direction::Response, &[8; 5], true);
    assert_eq!(dropped(&mut tap), [[2, 1, 16_384 - 5]]);
}

#[test]
fn of_a_tail_without_room_counts_what_there_was_of_it() {
    let mut tap = tap(r#","queue_bytes":65536,"batch_bytes":16384,"response_body_bytes":100,"tail_bytes":16384"#);
    for stream in [2, 4] {
        request(&mut tap, stream, "/", "id");
        response(&mut tap, stream);
        chunk(&mut tap, stream, Direction::Response, &[7; 101], false);
    }
    end(&mut tap, 4);
    assert_eq!(dropped(&mut tap), [[2, 1, 1]]);
}

#[test]
fn a_tail_that_could_not_be_read_is_no_want_of_room() {
    let mut tap = tap(r#","response_body_bytes":100,"tail_bytes":50"#);
    request(&mut tap, 2, "/", "id");
    response(&mut tap, 2);
    chunk(&mut tap, 2, Direction::Response, &[7; 100], false);
    tap.host().chunkless.set(true);
    chunk(&mut tap, 2, Direction::Response, &[7; 30], false);
    tap.host().chunkless.set(false);
    chunk(&mut tap, 2, Direction::Response, &[7; 20], true);
    assert_eq!(dropped(&mut tap), [[1, 1, 30]]);
}
