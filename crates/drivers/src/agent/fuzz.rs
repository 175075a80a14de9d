//! Fuzz body of an agent's answers: whole ones, or none.
//!
//! What stands in an answer is not read here, but by those who asked.

use fuzz::corpus;

use super::read;

#[test]
fn an_answer_is_whole_or_none() {
    let words =
        &["HTTP/1.0 ", "\r\n", "\r\n\r\n", "Content-Length: ", "X-Consul-Index: ", "-1", "+4"];
    fuzz::run(corpus!("consul-http").words(words), |case| {
        let Some(said) = read(&case.bytes) else { return };
        assert!(case.bytes.ends_with(said.body.as_bytes()) && said.status < 1_000);
        // Its head alone is an answer only if it does not say that there is more.
        let head = case.bytes.len() - said.body.len();
        if let Some(short) = read(&case.bytes[..head]) {
            assert_eq!((short.status, short.index), (said.status, said.index));
        }
    });
}
