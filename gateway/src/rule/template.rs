//! Path templates of `google.api.http`: `/v1/apps/{application.name}`, `/v1/nodes/{name}:revoke`.

/// A path with variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    segments: Vec<Segment>,
    variables: Vec<Variable>,
    verb: Option<String>,
    text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    /// Ordered by how much a segment says: the one that says most is tried first.
    Literal(String),
    /// One segment.
    One,
    /// All that follow, if only one, last in a template.
    Rest,
}

/// A field that takes what some of the segments matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    /// Dotted path of the field.
    pub(crate) field: String,
    from: usize,
    to: usize,
}

/// A template that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the path template {0:?} cannot be read")]
pub struct TemplateError(String);

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        let wrong = || TemplateError(text.to_owned());
        let path = text.strip_prefix('/').ok_or_else(wrong)?;
        // A verb follows the last segment; a colon inside of braces is none.
        let (path, verb) = match path.rsplit_once(':') {
            Some((path, verb)) if !verb.contains(['/', '}']) => (path, Some(verb.to_owned())),
            _ => (path, None),
        };
        let mut template = Self {
            segments: Vec::new(),
            variables: Vec::new(),
            verb,
            text: text.to_owned(),
        };
        for piece in pieces(path) {
            template.add(piece).ok_or_else(wrong)?;
        }
        let (last, others) = template.segments.split_last().ok_or_else(wrong)?;
        let is_misplaced = others.contains(&Segment::Rest);
        if is_misplaced || *last == Segment::Literal(String::new()) {
            return Err(wrong());
        }
        Ok(template)
    }

    fn add(&mut self, piece: &str) -> Option<()> {
        let Some(variable) = piece.strip_prefix('{') else {
            self.segments.push(segment(piece)?);
            return Some(());
        };
        let variable = variable.strip_suffix('}')?;
        let (field, pattern) = variable.split_once('=').unwrap_or((variable, "*"));
        let from = self.segments.len();
        for piece in pattern.split('/') {
            self.segments.push(segment(piece)?);
        }
        self.variables.push(Variable {
            field: field.to_owned(),
            from,
            to: self.segments.len(),
        });
        (!field.is_empty()).then_some(())
    }

    /// The text that it was read from.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Its variables, in their order.
    pub(crate) fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// The path with each variable replaced, for documents.
    pub(crate) fn rendered(&self, mut name: impl FnMut(&Variable) -> String) -> String {
        let mut path = String::new();
        let mut at = 0;
        while at < self.segments.len() {
            path.push('/');
            match self.variables.iter().find(|variable| variable.from == at) {
                Some(variable) => {
                    path.push_str(&format!("{{{}}}", name(variable)));
                    at = variable.to;
                }
                None => {
                    match &self.segments[at] {
                        Segment::Literal(text) => path.push_str(text),
                        Segment::One => path.push('*'),
                        Segment::Rest => path.push_str("**"),
                    }
                    at += 1;
                }
            }
        }
        if let Some(verb) = &self.verb {
            path.push(':');
            path.push_str(verb);
        }
        path
    }

    /// Whether the path matches.
    pub(crate) fn is_match(&self, path: &Path<'_>) -> bool {
        if self.verb.as_deref() != path.verb {
            return false;
        }
        let has_rest = self.segments.last() == Some(&Segment::Rest);
        let is_length_right = match has_rest {
            true => path.segments.len() >= self.segments.len(),
            false => path.segments.len() == self.segments.len(),
        };
        is_length_right
            && self
                .segments
                .iter()
                .zip(&path.segments)
                .all(|(segment, text)| match segment {
                    Segment::Literal(literal) => literal == text,
                    Segment::One | Segment::Rest => !text.is_empty(),
                })
    }

    /// What each variable takes from a path that matches; `None` for one that is no UTF-8.
    pub(crate) fn captures<'t>(
        &'t self,
        path: &Path<'_>,
    ) -> impl Iterator<Item = (&'t str, Option<String>)> {
        self.variables.iter().map(|variable| {
            let is_open = self.segments[variable.to - 1] == Segment::Rest;
            let to = if is_open {
                path.segments.len()
            } else {
                variable.to
            };
            let parts: Option<Vec<_>> = path.segments[variable.from..to]
                .iter()
                .map(|text| percent_decoded(text, false))
                .collect();
            (variable.field.as_str(), parts.map(|parts| parts.join("/")))
        })
    }

    /// Orders templates so that of two that match one path the one that says more comes first.
    pub(crate) fn rank(&self) -> impl Ord + use<> {
        (self.segments.clone(), self.verb.clone())
    }
}

/// Splits at slashes outside of braces.
fn pieces(path: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    path.split(move |character: char| {
        match character {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == '/' && depth == 0
    })
}

fn segment(text: &str) -> Option<Segment> {
    match text {
        "*" => Some(Segment::One),
        "**" => Some(Segment::Rest),
        _ if text.contains(['*', '{', '}']) => None,
        _ => Some(Segment::Literal(text.to_owned())),
    }
}

/// The path of a request, taken apart and not decoded yet.
#[derive(Debug)]
pub(crate) struct Path<'a> {
    segments: Vec<&'a str>,
    verb: Option<&'a str>,
}

impl<'a> Path<'a> {
    /// Takes a path apart. Names hold no colons, so what follows one in the last segment is a verb;
    /// a colon that belongs to a value is written as `%3A`.
    pub(crate) fn parse(path: &'a str) -> Self {
        let path = path.strip_prefix('/').unwrap_or(path);
        let mut segments: Vec<_> = path.split('/').collect();
        let mut verb = None;
        if let Some(last) = segments.last_mut()
            && let Some((name, after)) = last.rsplit_once(':')
        {
            *last = name;
            verb = Some(after);
        }
        Self { segments, verb }
    }
}

/// Decodes `%41`, and `+` as a blank where forms do; `None` when that is malformed or no UTF-8.
pub(crate) fn percent_decoded(text: &str, is_form: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'%' => {
                let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
                let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)?);
                rest = &rest[2..];
            }
            b'+' if is_form => bytes.push(b' '),
            _ => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}
