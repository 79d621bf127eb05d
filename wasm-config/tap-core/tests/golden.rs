//! The bytes of two batches, kept in `tests/golden`: `tests/wasm_config` reads them with the collector's own messages.
//! After a wanted change: `MESHSCRIBE_WRITE_GOLDEN=1 cargo test --test golden`.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod support;

use std::path::Path;
use support::{MILLISECOND, ROOT, advance, answer, block, chunk, end, request, response, seal, tap};
use tap_core::host::{Block, Direction};

#[test]
fn the_encoding_has_not_changed() {
    let mut tap = tap(r#","queue_bytes":65536,"batch_bytes":32768,"response_body_bytes":10,"caller_address":true,
        "rules":[{"name":"probes","path":{"exact":"/healthz"},"level":"none"}]"#);
    request(&mut tap, 2, "/v1/chat/completions", "11111111-2222-4333-8444-555555555555");
    advance(&tap, MILLISECOND);
    chunk(&mut tap, 2, Direction::Request, b"{\"model\":\"llama\"}", true);
    response(&mut tap, 2);
    for piece in ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"] {
        advance(&tap, 300 * MILLISECOND);
        chunk(&mut tap, 2, Direction::Response, piece.as_bytes(), false);
    }
    block(&mut tap, 2, Block::ResponseTrailers, &[("x-done", "1")], true);
    request(&mut tap, 3, "/healthz", "");
    chunk(&mut tap, 3, Direction::Request, &[1; 300], true);
    end(&mut tap, 3);
    chunk(&mut tap, 2, Direction::Request, &[0; 70_000], false);
    block(&mut tap, 2, Block::RequestTrailers, &[("x-large", &"x".repeat(70_000))], true);
    seal(&mut tap);
    answer(&mut tap, 1, "400");
    end(&mut tap, 2);
    seal(&mut tap);
    tap.on_tick(ROOT);
    for (index, (_, bytes)) in tap.host().posted.borrow().iter().enumerate() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/batch{}.bin", index + 1));
        if std::env::var_os("MESHSCRIBE_WRITE_GOLDEN").is_some() {
            std::fs::write(&file, bytes).unwrap();
        }
        assert_eq!(&std::fs::read(&file).unwrap(), bytes, "{}", file.display());
    }
}
