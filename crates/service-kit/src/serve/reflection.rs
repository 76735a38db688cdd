//! Server reflection that reads the contract when somebody asks for the first time: read, it takes
//! a megabyte, and nobody but a person with a tool ever asks.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures::future::Either;
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic_reflection::server::{Builder, Error, v1, v1alpha};
use tower::Service;

/// Encoded `FileDescriptorSet`s.
pub(super) type Descriptors = Arc<[&'static [u8]]>;

/// Reflection in one version.
#[derive(Clone)]
pub(super) struct Reflection<S> {
    /// `None` when the descriptors cannot be read.
    service: Arc<OnceLock<Option<S>>>,
    read: fn(&Descriptors) -> Result<S, Error>,
    descriptors: Descriptors,
}

/// Answers in version v1.
pub(super) fn v1(
    descriptors: Descriptors,
) -> Reflection<v1::ServerReflectionServer<impl v1::ServerReflection>> {
    Reflection::new(descriptors, |all| builder(all).build_v1())
}

/// Answers in version v1alpha, which older tools ask for.
pub(super) fn v1alpha(
    descriptors: Descriptors,
) -> Reflection<v1alpha::ServerReflectionServer<impl v1alpha::ServerReflection>> {
    Reflection::new(descriptors, |all| builder(all).build_v1alpha())
}

fn builder(descriptors: &Descriptors) -> Builder<'static> {
    let health = tonic_health::pb::FILE_DESCRIPTOR_SET;
    let begun = Builder::configure().register_encoded_file_descriptor_set(health);
    descriptors.iter().fold(begun, |builder, encoded| {
        builder.register_encoded_file_descriptor_set(encoded)
    })
}

impl<S> Reflection<S> {
    fn new(descriptors: Descriptors, read: fn(&Descriptors) -> Result<S, Error>) -> Self {
        Self {
            service: Arc::default(),
            read,
            descriptors,
        }
    }

    fn service(&self) -> Option<&S> {
        let read = || {
            let read = (self.read)(&self.descriptors);
            read.inspect_err(|error| tracing::error!(error = %error, "descriptors cannot be read"))
                .ok()
        };
        self.service.get_or_init(read).as_ref()
    }
}

impl<S: NamedService> NamedService for Reflection<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Reflection<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<Self::Response, Infallible>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // As generated servers, which are always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match self.service() {
            Some(service) => Either::Left(service.clone().call(request)),
            None => {
                let status = Status::internal("the contract of this build cannot be read");
                Either::Right(ready(Ok(status.into_http())))
            }
        }
    }
}
