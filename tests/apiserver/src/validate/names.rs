//! The forms of names.

/// What a name must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// RFC 1123 label.
    Label,
    /// RFC 1123 subdomain.
    Subdomain,
    /// RFC 1035 label.
    OldLabel,
    /// Anything that fits between two slashes.
    Segment,
}

/// Says what is wrong with a name; `None` when nothing is.
pub(super) fn fault(form: Form, name: &str) -> Option<String> {
    match form {
        Form::Segment => (matches!(name, "." | "..") || name.contains(['/', '%']))
            .then(|| "may not contain '/'".to_owned()),
        Form::Subdomain if name.len() > 253 => Some("must be no more than 253 bytes".to_owned()),
        Form::Label | Form::OldLabel if name.len() > 63 => {
            Some("must be no more than 63 bytes".to_owned())
        }
        Form::Subdomain => (!name.split('.').all(is_label)).then(|| {
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
             '-' or '.', and must start and end with an alphanumeric character (e.g. \
             'example.com', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
                .to_owned()
        }),
        Form::Label => (!is_label(name)).then(|| {
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or \
             '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or \
             '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
                .to_owned()
        }),
        Form::OldLabel => {
            let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase());
            (!is_label(name) || !starts_well).then(|| {
                "a DNS-1035 label must consist of lower case alphanumeric characters or '-', \
                 start with an alphabetic character, and end with an alphanumeric character \
                 (e.g. 'my-name',  or 'abc-123', regex used for validation is \
                 '[a-z]([-a-z0-9]*[a-z0-9])?')"
                    .to_owned()
            })
        }
    }
}

fn is_label(name: &str) -> bool {
    let is_end = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = name.as_bytes();
    bytes.first().is_some_and(|c| is_end(*c))
        && bytes.last().is_some_and(|c| is_end(*c))
        && bytes.iter().all(|c| is_end(*c) || *c == b'-')
}

fn is_word(name: &str) -> bool {
    let is_end = |c: u8| c.is_ascii_alphanumeric();
    let bytes = name.as_bytes();
    bytes.first().is_some_and(|c| is_end(*c))
        && bytes.last().is_some_and(|c| is_end(*c))
        && bytes
            .iter()
            .all(|c| is_end(*c) || [b'-', b'_', b'.'].contains(c))
}

/// Says what is wrong with the key of a label, an annotation or a finalizer.
pub(super) fn key_fault(key: &str) -> Option<String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if prefix.is_some_and(|prefix| fault(Form::Subdomain, prefix).is_some()) {
        return Some(
            "prefix part a lowercase RFC 1123 subdomain must consist of lower case \
                     alphanumeric characters, '-' or '.', and must start and end with an \
                     alphanumeric character"
                .to_owned(),
        );
    }
    if name.len() > 63 {
        return Some("name part must be no more than 63 bytes".to_owned());
    }
    (!is_word(name)).then(|| {
        "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and \
         end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex \
         used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
            .to_owned()
    })
}

/// Says what is wrong with the value of a label.
pub(super) fn value_fault(value: &str) -> Option<String> {
    if value.len() > 63 {
        return Some("must be no more than 63 bytes".to_owned());
    }
    (!value.is_empty() && !is_word(value)).then(|| {
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' \
         or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or \
         'my_value',  or '12345', regex used for validation is \
         '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
            .to_owned()
    })
}
