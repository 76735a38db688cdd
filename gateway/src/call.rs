//! Calls of methods that are known by their descriptors alone.

use std::time::Duration;

use http::HeaderMap;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder, Streaming};
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Request, Status};

use crate::backend::{Backend, BackendService};
use crate::rule::Rule;

/// The largest message in either direction: a set of documents, a page of configurations.
const MAX_MESSAGE_BYTES: usize = 32 * 1024 * 1024;

/// A call that is ready to go.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) message: DynamicMessage,
    /// Headers for the service: credentials, trace, request id.
    pub(crate) headers: HeaderMap,
    /// What is left of the deadline; without one the service sets it.
    pub(crate) budget: Option<Duration>,
}

impl Call {
    /// Sends a request and waits for the answer.
    pub(crate) async fn unary(
        self,
        backend: &Backend,
        rule: &Rule,
    ) -> Result<DynamicMessage, Status> {
        let mut client = client(backend).await?;
        let codec = Dynamic(rule.rpc.output());
        let response = client
            .unary(self.into_request(), rule.path.clone(), codec)
            .await?;
        Ok(response.into_inner())
    }

    /// Sends a request and waits for the beginning of the answer.
    pub(crate) async fn stream(
        self,
        backend: &Backend,
        rule: &Rule,
    ) -> Result<Streaming<DynamicMessage>, Status> {
        let mut client = client(backend).await?;
        let codec = Dynamic(rule.rpc.output());
        let request = self.into_request();
        let response = client
            .server_streaming(request, rule.path.clone(), codec)
            .await?;
        Ok(response.into_inner())
    }

    fn into_request(self) -> Request<DynamicMessage> {
        let metadata = MetadataMap::from_headers(self.headers);
        let mut request = Request::from_parts(metadata, Extensions::default(), self.message);
        if let Some(budget) = self.budget {
            request.set_timeout(budget);
        }
        request
    }
}

async fn client(backend: &Backend) -> Result<Grpc<BackendService>, Status> {
    let mut client = Grpc::new(backend.service.clone())
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    client
        .ready()
        .await
        .map_err(|error| Status::from_error(error.into()))?;
    Ok(client)
}

/// Encodes any message, decodes one kind.
#[derive(Debug)]
struct Dynamic(MessageDescriptor);

impl Codec for Dynamic {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = DynamicEncoder;
    type Decoder = DynamicDecoder;

    fn encoder(&mut self) -> DynamicEncoder {
        DynamicEncoder
    }

    fn decoder(&mut self) -> DynamicDecoder {
        DynamicDecoder(self.0.clone())
    }
}

#[derive(Debug)]
struct DynamicEncoder;

impl Encoder for DynamicEncoder {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, item: DynamicMessage, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buffer)
            .map_err(|_| Status::internal("the request cannot be encoded"))
    }
}

#[derive(Debug)]
struct DynamicDecoder(MessageDescriptor);

impl Decoder for DynamicDecoder {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let message = DynamicMessage::decode(self.0.clone(), buffer);
        message
            .map(Some)
            .map_err(|_| Status::internal("the answer cannot be decoded"))
    }
}
