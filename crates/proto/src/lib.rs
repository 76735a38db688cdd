//! The wire contract: messages, clients, servers and descriptors, generated from `proto/`.
//!
//! One module per package, named as the package is. The generated files are committed
//! (`src/gen`, written by `./just gen`); they are exempt from this workspace's lints, the
//! contract itself is linted by `buf`. Maps are ordered, so that equal messages encode to
//! equal bytes; fields marked `debug_redact` never show in `Debug`.
//!
//! [`pool`] is the contract as descriptors, [`json`] the one JSON dialect, [`document`] what
//! people write in files.

pub mod document;
pub mod json;
pub mod pool;

/// Every file of the contract with its imports, options and comments: an encoded
/// `google.protobuf.FileDescriptorSet`. Reflection, transcoding and the OpenAPI document
/// all read it.
pub static DESCRIPTOR: &[u8] = include_bytes!("gen/descriptor.bin");

/// Declares `package::version`, with the generated code inside.
macro_rules! package {
    ($(#[$doc:meta])* $area:ident :: $version:ident, $file:literal) => {
        $(#[$doc])*
        pub mod $area {
            $(#[$doc])*
            #[allow(
                missing_docs,
                unreachable_pub,
                rust_2018_idioms,
                rustdoc::all,
                clippy::all,
                clippy::pedantic,
                clippy::nursery,
                clippy::restriction,
                reason = "generated code; the contract is linted instead"
            )]
            pub mod $version {
                include!(concat!("gen/", $file));
            }
        }
    };
}

package!(
    /// What users declare and nodes report: messages only.
    resource::v1,
    "baetyl.resource.v1.rs"
);

package!(
    /// The control plane's API: one service per resource.
    cloud::v1,
    "baetyl.cloud.v1.rs"
);

package!(
    /// The line between a node and the cloud: activation and the sync stream.
    sync::v1,
    "baetyl.sync.v1.rs"
);

package!(
    /// The local API of core on a node.
    node::v1,
    "baetyl.node.v1.rs"
);

package!(
    /// Invocation, attachment of runtimes, and routes.
    function::v1,
    "baetyl.function.v1.rs"
);

/// The predecessor's function contract, which has no version in its name.
#[allow(
    missing_docs,
    unreachable_pub,
    rust_2018_idioms,
    rustdoc::all,
    clippy::all,
    clippy::pedantic,
    clippy::nursery,
    clippy::restriction,
    reason = "generated code; the contract is linted instead"
)]
pub mod faas {
    include!("gen/faas.rs");
}
