//! Pictures for prompts: turns a file into a data URL.

use std::{fs, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};

/// Reads a picture as `data:image/png;base64,…`.
///
/// The error names the file and the expected formats.
pub(super) fn data_url(path: &Path) -> Result<String, String> {
    let bytes = fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let media_type = media_type(&bytes)
        .ok_or_else(|| format!("{} is no picture, expected PNG, JPEG, WebP or GIF", path.display()))?;
    Ok(format!("data:{media_type};base64,{}", STANDARD.encode(bytes)))
}

/// As [`data_url`], but accepts only a PNG.
pub(super) fn png_data_url(path: &Path) -> Result<String, String> {
    let url = data_url(path)?;
    if url.starts_with("data:image/png;") { Ok(url) } else { Err(format!("{} is no PNG", path.display())) }
}

/// The media type by the first bytes: a file's name may be wrong, and the upstream would bill the job all the same.
fn media_type(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_known_by_its_first_bytes() {
        for (bytes, expected) in [
            (&b"\x89PNG\r\n\x1a\n...."[..], Some("image/png")),
            (b"\xff\xd8\xff\xe0....", Some("image/jpeg")),
            (b"RIFF\x01\x02\x03\x04WEBPVP8 ", Some("image/webp")),
            (b"GIF89a..", Some("image/gif")),
            (b"RIFF\x01\x02\x03\x04WAVE", None),
            (b"<svg/>", None),
            (b"", None),
        ] {
            assert_eq!(media_type(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_file_that_is_no_picture_is_named() {
        let path = std::env::temp_dir().join(format!("mjq-image-{}.png", std::process::id()));
        fs::write(&path, "hello").unwrap();

        assert!(data_url(&path).unwrap_err().ends_with("is no picture, expected PNG, JPEG, WebP or GIF"));
        fs::write(&path, b"GIF89a").unwrap();
        assert_eq!(data_url(&path).unwrap(), "data:image/gif;base64,R0lGODlh");
        assert!(data_url(Path::new("/no/such.png")).unwrap_err().starts_with("cannot read /no/such.png: "));
    }
}
