//! Lines of heads, written into memory.
//!
//! It checks neither name nor value: whoever writes knows that both are clean.

/// Writes one field.
pub(crate) fn line(out: &mut Vec<u8>, name: &str, value: &[&[u8]]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    for part in value {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(b"\r\n");
}
