//! The caller's side of a call: what a handler waits on, and whose drop cancels the call.

use std::fmt;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep_until};

use super::error::CallError;
use super::invocation::{Answer, CancelReason, Invocation};
use super::metrics;
use super::reply::{Event, Reply};
use super::service::Service;

/// What comes of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// A streamed value.
    Value(Bytes),
    /// The end.
    End(Result<Answer, CallError>),
}

/// A call that is waiting or running. Dropped before its end, it is cancelled.
pub struct PendingCall {
    service: Arc<Service>,
    invocation: Arc<Invocation>,
    reply: Arc<Reply>,
    /// What the function is called in metrics.
    label: Arc<str>,
    begun: Instant,
    timer: Pin<Box<Sleep>>,
    is_over: bool,
}

impl fmt::Debug for PendingCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingCall")
            .field("service", &self.service)
            .field("invocation_id", &self.invocation.invocation_id)
            .finish_non_exhaustive()
    }
}

impl PendingCall {
    /// Hands a call to a service.
    ///
    /// # Errors
    /// The service does not take it.
    pub(super) fn begin(
        service: Arc<Service>,
        invocation: Arc<Invocation>,
        label: Arc<str>,
        begun: Instant,
    ) -> Result<Self, CallError> {
        let submitted = service.pool().submit(invocation.clone(), begun);
        let reply = submitted.inspect_err(|error| {
            metrics::ended(service.name(), &label, Err(error), begun);
        })?;
        let timer = Box::pin(sleep_until(invocation.deadline));
        Ok(Self {
            service,
            invocation,
            reply,
            label,
            begun,
            timer,
            is_over: false,
        })
    }

    /// Identity of the invocation.
    #[must_use]
    pub fn invocation_id(&self) -> &str {
        &self.invocation.invocation_id
    }

    /// The next value, or the end. Nothing comes after the end. Cancel safe.
    pub async fn next(&mut self) -> Next {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// Waits for the end of a unary call. Cancel safe: dropping it cancels the call.
    ///
    /// # Errors
    /// How the call ended.
    pub async fn end(mut self) -> Result<Answer, CallError> {
        loop {
            if let Next::End(end) = self.next().await {
                return end;
            }
        }
    }

    /// The next value, or the end, polled.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        loop {
            match self.reply.poll_event(context) {
                Poll::Ready(Event::Value(value)) => return Poll::Ready(Next::Value(value)),
                Poll::Ready(Event::End(end)) => {
                    self.is_over = true;
                    self.measure(end.as_ref().map(drop));
                    return Poll::Ready(Next::End(end));
                }
                Poll::Ready(Event::Waiting) => self.look(Instant::now()),
                Poll::Pending => {
                    ready!(self.timer.as_mut().poll(context));
                    self.wake_up(Instant::now());
                }
            }
        }
    }

    fn wake_up(&mut self, now: Instant) {
        if now >= self.invocation.deadline {
            // Ends the reply, if the runtime has not done so in this moment.
            self.service.abandon(&self.reply, CancelReason::Timeout);
        } else {
            self.look(now);
        }
    }

    /// While the call waits, nobody else notices that there is no runtime for it any more.
    fn look(&mut self, now: Instant) {
        let deadline = self.invocation.deadline;
        let next = self.service.pool().check(&self.reply, now);
        self.timer
            .as_mut()
            .reset(next.map_or(deadline, |at| at.min(deadline)));
    }

    fn measure(&self, result: Result<(), &CallError>) {
        if let Some(waited) = self.reply.waited_since(self.begun) {
            metrics::waited(self.service.name(), waited);
        }
        metrics::ended(self.service.name(), &self.label, result, self.begun);
    }
}

impl Drop for PendingCall {
    fn drop(&mut self) {
        if !self.is_over {
            self.service.abandon(&self.reply, CancelReason::Cancelled);
            self.measure(Err(&CallError::Cancelled));
        }
    }
}
