//! Content encodings: unpacks bodies, even if their headers are wrong.
//!
//! mjq asks for no encoding (`Accept-Encoding: identity`), but some relays compress all the same. Others pass on the
//! header of a body that they have already unpacked (Node's `fetch` unpacks and keeps the header), or compress twice. A
//! task must not be lost for that, so a body that cannot be unpacked is taken as it came.

use std::io::Read;

use brotli_decompressor::Decompressor;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// The first bytes of gzip.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Unpacks a body whose `Content-Encoding` is `encodings`, to `max_bytes` at most.
///
/// # Errors
/// The unpacked body is larger.
pub(super) fn decode(body: Vec<u8>, encodings: &str, max_bytes: usize) -> Result<Vec<u8>, TooLarge> {
    let mut body = gunzipped(body, max_bytes)?;
    // The last encoding was applied last, so it is undone first.
    for encoding in encodings.rsplit(',').map(|encoding| encoding.trim().to_ascii_lowercase()) {
        body = match encoding.as_str() {
            "br" => unpacked(&body, Decompressor::new(body.as_slice(), 4096), max_bytes)?.unwrap_or(body),
            "deflate" => match unpacked(&body, ZlibDecoder::new(body.as_slice()), max_bytes)? {
                Some(unpacked) => unpacked,
                // Some servers leave out the zlib frame that `deflate` stands for.
                None => unpacked(&body, DeflateDecoder::new(body.as_slice()), max_bytes)?.unwrap_or(body),
            },
            // Gzip is recognised by its first bytes, so its header is ignored.
            _ => body,
        };
    }
    gunzipped(body, max_bytes)
}

/// The body is larger than an answer may be.
#[derive(Debug)]
pub(super) struct TooLarge;

fn gunzipped(mut body: Vec<u8>, max_bytes: usize) -> Result<Vec<u8>, TooLarge> {
    for _ in 0..2 {
        if body.starts_with(&GZIP) {
            body = unpacked(&body, MultiGzDecoder::new(body.as_slice()), max_bytes)?.unwrap_or(body);
        }
    }
    Ok(body)
}

/// The unpacked bytes, up to where `packed` breaks off; `None` when there are none, or when `packed` is plain text.
fn unpacked(packed: &[u8], reader: impl Read, max_bytes: usize) -> Result<Option<Vec<u8>>, TooLarge> {
    let mut body = Vec::new();
    let end = reader.take(max_bytes as u64 + 1).read_to_end(&mut body);
    if body.len() > max_bytes {
        return Err(TooLarge);
    }
    let is_text = || packed.trim_ascii_start().starts_with(b"{") && std::str::from_utf8(packed).is_ok();
    let is_wanted = match end {
        Ok(_) => true,
        // The beginning is kept, as it is of a body that broke off on its way.
        Err(_) => !is_text(),
    };
    Ok((is_wanted && !body.is_empty()).then_some(body))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };

    use super::*;

    const JSON: &[u8] = br#"{"code":1,"description":"ok","result":"1748339029401828"}"#;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_body_is_unpacked_whatever_its_headers_say() {
        for (encodings, body) in [
            ("", JSON.to_vec()),
            ("identity", JSON.to_vec()),
            ("utf-8", JSON.to_vec()),
            ("gzip", gzip(JSON)),
            ("x-gzip", gzip(JSON)),
            ("", gzip(JSON)),
            ("gzip", gzip(&gzip(JSON))),
            ("gzip", JSON.to_vec()),
            ("br", JSON.to_vec()),
            ("deflate", JSON.to_vec()),
            ("deflate", zlib(JSON)),
            ("deflate", deflate(JSON)),
            ("deflate, gzip", gzip(&zlib(JSON))),
        ] {
            let unpacked = decode(body, encodings, 1000).unwrap();

            assert_eq!(String::from_utf8_lossy(&unpacked), String::from_utf8_lossy(JSON), "{encodings}");
        }
    }

    #[test]
    fn what_came_before_it_broke_off_is_kept() {
        let whole = gzip(&JSON.repeat(50));

        let unpacked = decode(whole[..whole.len() - 8].to_vec(), "gzip", 10_000).unwrap();

        assert!(unpacked.starts_with(JSON));
    }

    #[test]
    fn a_bomb_does_not_go_off() {
        assert!(decode(gzip(&vec![b' '; 10_000_000]), "gzip", 1_000_000).is_err());
    }
}
