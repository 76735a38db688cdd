//! Names of images, and whether they can be fetched.

/// Whether a name of an image can be read: `host:port/path:tag@sha256:…`.
pub(super) fn is_valid(image: &str) -> bool {
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (image, None),
    };
    if let Some(digest) = digest {
        let hex = digest.strip_prefix("sha256:").unwrap_or("");
        if hex.len() != 64 || !hex.bytes().all(|c| c.is_ascii_hexdigit()) {
            return false;
        }
    }
    let (folders, last) = name.rsplit_once('/').unwrap_or(("", name));
    let (last, tag) = last.split_once(':').unwrap_or((last, "latest"));
    let is_tag = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let parts = folders.split('/').filter(|part| !part.is_empty());
    let is_part = |part: &str| {
        let is_edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        is_edge(part.chars().next())
            && is_edge(part.chars().last())
            && part
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-:".contains(c))
    };
    !tag.is_empty()
        && tag.len() <= 128
        && tag.chars().all(is_tag)
        && !last.contains(':')
        && is_part(last)
        && parts.clone().all(is_part)
}

/// What a runtime says of an image that it has.
pub(super) fn id(image: &str) -> String {
    if image.contains('@') {
        return image.to_owned();
    }
    // FNV-1a four times over, so that it has the length of a digest.
    let mut sum: u64 = 0xcbf2_9ce4_8422_2325;
    let mut digest = String::new();
    for round in 0..4_u8 {
        for byte in image.bytes().chain([round]) {
            sum = (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        digest.push_str(&format!("{sum:016x}"));
    }
    let last = image.rsplit('/').next().unwrap_or(image);
    let name = match last.split_once(':') {
        Some((_, tag)) => &image[..image.len() - tag.len() - 1],
        None => image,
    };
    format!("{name}@sha256:{digest}")
}

/// What a registry says of an image that it does not have.
pub(super) fn refusal(image: &str) -> String {
    format!(
        "failed to pull and unpack image {image:?}: failed to resolve reference {image:?}: \
         {image}: not found"
    )
}
