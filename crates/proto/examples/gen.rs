//! Writes `src/gen` from the contract in `proto/`, without `protoc`.
//!
//! `./just gen` runs it in place; `./just gen-check` lets it write into another folder,
//! given as the only argument, and compares. The result is committed, so that a build
//! needs no generator and a reviewer sees what a change of contract does to the code.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use prost_reflect::{DescriptorPool, FieldDescriptor, MessageDescriptor, Value};
use tonic_prost_build::FileDescriptorSet;

type Fallible<T = ()> = Result<T, Box<dyn Error>>;

/// Where the contract and what it imports live, relative to the repository.
const ROOTS: [&str; 2] = ["proto", "third_party/proto"];

/// Names that Rust keeps for itself and that a field may have.
const KEYWORDS: [&str; 10] = [
    "type", "ref", "match", "move", "use", "in", "as", "for", "loop", "where",
];

fn main() -> Fallible {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let repository = package.join("../..");
    let out = std::env::args_os()
        .nth(1)
        .map_or_else(|| package.join("src/gen"), PathBuf::from);

    let compiled = compile(&repository)?;
    let pool = compiled.descriptor_pool();
    let secret = messages_with_secrets(&pool)?;

    fs::create_dir_all(&out)?;
    remove_previous(&out)?;
    generate(compiled.file_descriptor_set(), &secret, &out)?;
    append_redacted_debug(&secret, &out)?;
    // Encoded by the compiler itself: the typed set would lose the HTTP options.
    fs::write(
        out.join("descriptor.bin"),
        compiled.encode_file_descriptor_set(),
    )?;
    Ok(())
}

/// Compiles every file of the contract, with imports and comments, for reflection,
/// transcoding and the OpenAPI document. `google/rpc` is in it although nothing may
/// import it: error details are printed by name.
fn compile(repository: &Path) -> Fallible<protox::Compiler> {
    let roots = ROOTS.map(|root| repository.join(root));
    let mut files = Vec::new();
    for root in &roots {
        collect_protos(root, &mut files)?;
    }
    files.sort();

    let mut compiler = protox::Compiler::new(&roots)?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(files)?;
    Ok(compiler)
}

/// Adds every `.proto` file below `folder`.
fn collect_protos(folder: &Path, files: &mut Vec<PathBuf>) -> Fallible {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect_protos(&path, files)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "proto")
        {
            files.push(path);
        }
    }
    Ok(())
}

/// Removes what an earlier run wrote, so that a deleted package leaves nothing behind.
fn remove_previous(out: &Path) -> Fallible {
    for entry in fs::read_dir(out)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Writes one file per package: messages, client, server.
fn generate(mut files: FileDescriptorSet, secret: &[MessageDescriptor], out: &Path) -> Fallible {
    // Annotations are options of the contract, no messages that anyone sends.
    files
        .file
        .retain(|file| !file.name().starts_with("google/api/"));
    tonic_prost_build::configure()
        .out_dir(out)
        // Connectors are injected, so no client dials by itself.
        .build_transport(false)
        // Payloads are never copied.
        .bytes(".")
        // Sorted, so that equal messages have equal bytes and so equal digests.
        .btree_map(".")
        .extern_path(".google.rpc", "::tonic_types::pb")
        .skip_debug(
            secret
                .iter()
                .map(|message| format!(".{}", message.full_name())),
        )
        .compile_fds(files)?;
    Ok(())
}

/// Messages with a field marked `[debug_redact = true]`: their `Debug` is ours.
fn messages_with_secrets(pool: &DescriptorPool) -> Fallible<Vec<MessageDescriptor>> {
    let mut found = Vec::new();
    for message in pool.all_messages() {
        if message.package_name().starts_with("google.") || !message.fields().any(|f| is_secret(&f))
        {
            continue;
        }
        if message
            .fields()
            .any(|f| is_secret(&f) && is_in_real_oneof(&f))
        {
            let name = message.full_name();
            return Err(
                format!("{name}: debug_redact in a oneof; use a message of its own").into(),
            );
        }
        found.push(message);
    }
    Ok(found)
}

fn is_secret(field: &FieldDescriptor) -> bool {
    let options = field.options();
    options
        .get_field_by_name("debug_redact")
        .is_some_and(|value| *value == Value::Bool(true))
}

fn is_in_real_oneof(field: &FieldDescriptor) -> bool {
    field
        .containing_oneof()
        .is_some_and(|oneof| !oneof.is_synthetic())
}

/// Appends a `Debug` to each message that has secrets. Everything that prints a message
/// (a log field, a failed assertion) then prints the mark instead of the value.
fn append_redacted_debug(secret: &[MessageDescriptor], out: &Path) -> Fallible {
    for message in secret {
        let path = out.join(format!("{}.rs", message.package_name()));
        let mut code = fs::read_to_string(&path)?;
        write_debug(message, &mut code)?;
        fs::write(path, code)?;
    }
    Ok(())
}

fn write_debug(message: &MessageDescriptor, code: &mut String) -> Fallible {
    let name = message.name();
    writeln!(
        code,
        "impl ::core::fmt::Debug for {} {{",
        rust_path(message)
    )?;
    writeln!(
        code,
        "    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {{"
    )?;
    writeln!(code, "        f.debug_struct({name:?})")?;
    for field in message.fields().filter(|field| !is_in_real_oneof(field)) {
        let shown = field.name();
        if is_secret(&field) {
            writeln!(
                code,
                "            .field({shown:?}, &::core::format_args!(\"<redacted>\"))"
            )?;
        } else {
            writeln!(
                code,
                "            .field({shown:?}, &self.{})",
                rust_field(shown)
            )?;
        }
    }
    for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
        let shown = oneof.name();
        writeln!(
            code,
            "            .field({shown:?}, &self.{})",
            rust_field(shown)
        )?;
    }
    writeln!(code, "            .finish()\n    }}\n}}")?;
    Ok(())
}

/// `Outer.Inner` is `outer::Inner` in generated code.
fn rust_path(message: &MessageDescriptor) -> String {
    let mut path = message.name().to_owned();
    let mut parent = message.parent_message();
    while let Some(outer) = parent {
        path = format!("{}::{path}", snake_case(outer.name()));
        parent = outer.parent_message();
    }
    path
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    snake
}

fn rust_field(name: &str) -> String {
    if KEYWORDS.contains(&name) {
        format!("r#{name}")
    } else {
        name.to_owned()
    }
}
