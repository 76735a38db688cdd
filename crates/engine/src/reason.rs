//! Why something is as it is: stable UPPER_SNAKE words in the status of applications and instances.

/// Declares the words, and the table for the reference documentation.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])* $name:ident;)*) => {
        $($(#[doc = $doc])* pub const $name: &str = stringify!($name);)*

        /// Every word with what it means, for the reference documentation.
        pub const ALL: &[(&str, &str)] = &[$((stringify!($name), concat!($($doc),*))),*];
    };
}

reasons! {
    /// Files, certificates and folders are being prepared.
    PREPARING;
    /// Instances are being started.
    STARTING;
    /// Instances run and are not ready yet.
    WAITING_FOR_READY;
    /// Instances are ready and must stay so for a while.
    SOAKING;
    /// The old revision is being stopped, since both cannot run at once.
    STOPPING_OLD;
    /// A job runs and has not come to its end.
    JOB_RUNNING;
    /// Files are being switched in place.
    RELOADING;
    /// The application is no longer desired and is being stopped.
    REMOVING;
    /// What runs could not be observed; nothing is done until it can.
    OBSERVATION_FAILED;
    /// The record could not be made durable; nothing is done until it can.
    STORE_UNAVAILABLE;
    /// A body that the application needs is not on the node.
    BODY_MISSING;
    /// The desired item or a body cannot be read, or asks for something impossible.
    INVALID_APPLICATION;
    /// The item needs a feature that this node does not have.
    UNSUPPORTED_FEATURE;
    /// Applications of this type do not run on this node.
    UNSUPPORTED_TYPE;
    /// Another application has the fixed port.
    PORT_CONFLICT;
    /// Another application has a function service of the same name.
    SERVICE_CONFLICT;
    /// The process ended by itself.
    EXITED;
    /// A signal ended the process.
    SIGNALED;
    /// The process used more memory than its limit.
    OUT_OF_MEMORY;
    /// The process ended and nobody knows how: its supervisor was killed.
    LOST;
    /// The process ends again and again; each restart waits longer.
    CRASH_LOOP;
    /// A probe failed.
    PROBE_FAILED;
    /// The new revision was not ready and soaked in time.
    DEADLINE_EXCEEDED;
    /// Somebody else listens on the port.
    PORT_IN_USE;
    /// No port of the engine's range is free.
    NO_FREE_PORT;
    /// The program does not exist.
    PROGRAM_NOT_FOUND;
    /// The operating system refused to start the program.
    START_FAILED;
    /// An environment variable names a key that its configuration or secret lacks.
    KEY_NOT_FOUND;
    /// The folder of the node that a volume names does not exist.
    HOST_PATH_NOT_FOUND;
    /// The service's certificate could not be issued.
    CERTIFICATE_UNAVAILABLE;
    /// Files or folders could not be written.
    STORAGE_FAILED;
    /// Changed files could not be switched in place; the old ones stay.
    RELOAD_FAILED;
    /// A job failed more often than it is tried.
    JOB_FAILED;

    // Of applications in a cluster.

    /// The image could not be fetched.
    IMAGE_PULL_FAILED;
    /// The name of the image cannot be read.
    IMAGE_INVALID;
    /// A container could not be made: something that it names is missing or wrong.
    CONFIG_ERROR;
    /// No machine of the cluster can take the pod.
    UNSCHEDULABLE;
    /// The machine ended the pod: it ran out of something, or another pod was more important.
    EVICTED;
    /// A volume could not be attached or mounted.
    VOLUME_UNAVAILABLE;
    /// A quota of the namespace leaves no room.
    QUOTA_EXCEEDED;
    /// The cluster does not let this node do it; the message names the missing permission.
    FORBIDDEN;
    /// The application's namespace is none that the installation allows.
    NAMESPACE_NOT_ALLOWED;
    /// The namespace of an object does not exist, or is being deleted; it is tried again.
    NAMESPACE_NOT_FOUND;
    /// An object of that name is there and belongs to somebody else; it is not touched.
    OBJECT_NOT_OURS;
    /// Somebody else declares a field of an object; the application may ask to take it over.
    FIELD_CONFLICT;
    /// The cluster does not accept an object; the message names its field.
    INVALID_OBJECT;
    /// A field cannot be changed once the object is there, and the object cannot be replaced safely.
    IMMUTABLE_FIELD;
    /// The cluster does not know objects of this kind; it is tried again, since another application
    /// may bring it.
    KIND_NOT_FOUND;
    /// An object is another one than it was a moment ago; it is looked at again.
    OBJECT_CHANGED;
    /// An object says that it has failed.
    OBJECT_FAILED;
    /// The cluster's API cannot be reached, or cannot answer now; it is tried again.
    CLUSTER_UNAVAILABLE;
    /// This node runs no function service in its cluster.
    FUNCTIONS_UNAVAILABLE;
    /// The program `helm`, which renders charts, is not installed where core runs.
    HELM_NOT_FOUND;
    /// The chart could not be rendered.
    HELM_FAILED;

    // Of events.

    /// A revision passed its gate and serves.
    PROMOTED;
    /// A revision failed, and the last good one was brought back.
    ROLLED_BACK;
    /// A revision failed, and there was nothing to go back to.
    REVISION_FAILED;
    /// Changed inputs were handed to running instances.
    RELOADED;
    /// An object that somebody else changed or removed was made right again.
    REPAIRED;
    /// An object is left where it is, since things of others would go with it.
    KEPT;
    /// A hook of a chart is not run.
    HOOK_SKIPPED;
    /// An object was replaced, since a field of it cannot be changed in place.
    REPLACED;
}

/// Returns a word of this list as it is written here; [`EXITED`] for every other.
#[must_use]
pub fn known(word: &str) -> &'static str {
    let known = ALL.iter().find(|(known, _)| *known == word);
    known.map_or(EXITED, |(known, _)| known)
}
