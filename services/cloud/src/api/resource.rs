//! What every kind of resource has in common on the wire: who calls, what is asked, the answer in
//! words. The services of the kinds only name their messages.

use baetyl_model::{Kind, Message};
use baetyl_proto::cloud::v1 as pb;
use futures::StreamExt as _;
use tonic::{Request, Response, Status};

use super::{Answers, Api, refusal};
use crate::app::delete::Delete;
use crate::app::list::List;
use crate::app::watch::{Event, Happened, Watch, Watcher};
use crate::app::write::{Create, Update};
use crate::error::Error;

/// A resource to read.
pub(super) struct Get {
    pub(super) namespace: String,
    pub(super) name: String,
    /// Whether the values of a secret are asked for, too.
    pub(super) with_values: bool,
}

/// A part of a list, in words.
pub(super) struct Listed {
    pub(super) messages: Vec<Message>,
    pub(super) next_page_token: String,
    pub(super) resume_token: String,
}

/// An event in the contract's words.
pub(super) struct Told {
    pub(super) event: i32,
    pub(super) message: Option<Message>,
    pub(super) resume_token: String,
}

impl Api {
    /// Creates what a request asks for.
    pub(super) async fn create<R>(
        &self,
        request: Request<R>,
        kind: Kind,
        asked: fn(R) -> Create,
    ) -> Result<Message, Error> {
        let caller = self.caller(&request).await?;
        let create = asked(request.into_inner());
        let view = self.app().create(&caller, kind, create).await?;
        self.message(view).await
    }

    /// Reads what a request asks for.
    pub(super) async fn get<R>(
        &self,
        request: Request<R>,
        kind: Kind,
        asked: fn(R) -> Get,
    ) -> Result<Message, Error> {
        let caller = self.caller(&request).await?;
        let get = asked(request.into_inner());
        let view = self
            .app()
            .get(&caller, kind, &get.namespace, &get.name)
            .await?;
        if get.with_values {
            return Ok(view.message_with_values());
        }
        self.message(view).await
    }

    /// Lists what a request asks for.
    pub(super) async fn list<R>(
        &self,
        request: Request<R>,
        kind: Kind,
        asked: fn(R) -> List,
    ) -> Result<Listed, Error> {
        let caller = self.caller(&request).await?;
        let list = asked(request.into_inner());
        let page = self.app().list(&caller, kind, &list).await?;
        Ok(Listed {
            messages: self.messages(page.views).await?,
            next_page_token: page.next_page_token,
            resume_token: page.resume_token,
        })
    }

    /// Replaces what a request asks for.
    pub(super) async fn update<R>(
        &self,
        request: Request<R>,
        kind: Kind,
        asked: fn(R) -> Update,
    ) -> Result<Message, Error> {
        let caller = self.caller(&request).await?;
        let update = asked(request.into_inner());
        let view = self.app().update(&caller, kind, update).await?;
        self.message(view).await
    }

    /// Deletes what a request asks for.
    pub(super) async fn delete<R>(
        &self,
        request: Request<R>,
        kind: Kind,
        asked: fn(R) -> Delete,
    ) -> Result<(), Error> {
        let caller = self.caller(&request).await?;
        let delete = asked(request.into_inner());
        self.app().delete(&caller, kind, delete).await
    }

    /// Watches a kind; `answer` puts what happened into the contract's message.
    pub(super) async fn watch<T, A, R>(
        &self,
        request: Request<R>,
        kind: Kind,
        asked: fn(R) -> Watch,
        answer: A,
    ) -> Result<Response<Answers<T>>, Status>
    where
        T: Send + 'static,
        A: Fn(Told) -> T + Send + Sync + Clone + 'static,
    {
        let caller = self.caller(&request).await.map_err(refusal)?;
        let watcher = Watcher {
            caller,
            shutdown: self.parts().shutdown.clone(),
        };
        let watch = asked(request.into_inner());
        let events = self
            .app()
            .watch(watcher, kind, watch)
            .await
            .map_err(refusal)?;
        let api = self.clone();
        let answers = events.then(move |event| {
            let (api, answer) = (api.clone(), answer.clone());
            async move {
                let told = api.told(event.map_err(refusal)?).await.map_err(refusal)?;
                Ok(answer(told))
            }
        });
        Ok(Response::new(answers.boxed()))
    }

    /// Puts an event into words.
    async fn told(&self, event: Event) -> Result<Told, Error> {
        let (happened, message) = match event.happened {
            Happened::Added(view) => (pb::EventType::Added, Some(self.message(*view).await?)),
            Happened::Modified(view) => (pb::EventType::Modified, Some(self.message(*view).await?)),
            Happened::Deleted(gone) => {
                let key = &gone.key;
                let mut message = Message::bare(key.kind, &key.namespace, &key.name);
                message.set_life(&gone.uid, gone.revision);
                (pb::EventType::Deleted, Some(message))
            }
            Happened::Bookmark => (pb::EventType::Bookmark, None),
        };
        Ok(Told {
            event: happened.into(),
            message,
            resume_token: event.resume_token,
        })
    }
}
