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
}
