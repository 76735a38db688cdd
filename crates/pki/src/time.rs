//! Between the clock's time and the time in certificates, which counts whole seconds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::time::OffsetDateTime;
use rustls::pki_types::UnixTime;
use x509_parser::time::ASN1Time;

use crate::Error;

/// The last second that a certificate can name: the end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

fn seconds(at: SystemTime) -> Result<u64, Error> {
    let since = at
        .duration_since(UNIX_EPOCH)
        .map_err(|_| Error::LifetimeInvalid)?;
    Some(since.as_secs())
        .filter(|seconds| *seconds <= LAST_SECOND)
        .ok_or(Error::LifetimeInvalid)
}

/// Cuts a time to the whole second that a certificate would say.
pub(crate) fn truncate(at: SystemTime) -> Result<SystemTime, Error> {
    Ok(UNIX_EPOCH + Duration::from_secs(seconds(at)?))
}

pub(crate) fn to_offset(at: SystemTime) -> Result<OffsetDateTime, Error> {
    let seconds = i64::try_from(seconds(at)?).map_err(|_| Error::LifetimeInvalid)?;
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| Error::LifetimeInvalid)
}

pub(crate) fn to_unix(at: SystemTime) -> Result<UnixTime, Error> {
    Ok(UnixTime::since_unix_epoch(Duration::from_secs(seconds(
        at,
    )?)))
}

/// A certificate's time; before 1970 counts as 1970.
pub(crate) fn from_asn1(at: &ASN1Time) -> SystemTime {
    let seconds = u64::try_from(at.timestamp()).unwrap_or(0);
    UNIX_EPOCH + Duration::from_secs(seconds.min(LAST_SECOND))
}
