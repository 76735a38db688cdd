//! The slab of calls: an id is an array index that tells when it is stale.

/// Names a call on the wire: generation in the upper 32 bits, slab index in the lower.
///
/// A generation is never 0, so 0 names no call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(u64);

impl CallId {
    /// Takes an id as it came; whether it names a call is for [`Calls`] to say.
    #[must_use]
    pub fn from_wire(id: u64) -> Self {
        Self(id)
    }

    /// The id as it goes out.
    #[must_use]
    pub fn to_wire(self) -> u64 {
        self.0
    }

    fn new(generation: u32, index: u32) -> Self {
        Self(u64::from(generation) << 32 | u64::from(index))
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn index(self) -> usize {
        self.0 as u32 as usize
    }
}

/// What is kept per call, found in constant time.
///
/// Freed places are used again under the next generation, so that an id that outlived its call
/// finds nothing. A place repeats an id after 2^32 - 1 calls.
#[derive(Debug)]
pub struct Calls<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    call: Option<T>,
}

impl<T> Default for Calls<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Calls<T> {
    /// Number of calls.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Whether there is no call.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a call.
    pub fn insert(&mut self, call: T) -> CallId {
        if let Some(index) = self.free.pop() {
            let place = &mut self.places[index as usize];
            place.call = Some(call);
            return CallId::new(place.generation, index);
        }
        let index =
            u32::try_from(self.places.len()).expect("queues and slots are bounded far below");
        self.places.push(Place {
            generation: 1,
            call: Some(call),
        });
        CallId::new(1, index)
    }

    /// The call, unless the id is stale.
    #[must_use]
    pub fn get(&self, id: CallId) -> Option<&T> {
        self.place(id)?.call.as_ref()
    }

    /// The call, unless the id is stale.
    pub fn get_mut(&mut self, id: CallId) -> Option<&mut T> {
        self.place_mut(id)?.call.as_mut()
    }

    /// Removes the call, unless the id is stale, which it is from now on.
    pub fn remove(&mut self, id: CallId) -> Option<T> {
        let place = self.place_mut(id)?;
        let call = place.call.take()?;
        place.generation = next(place.generation);
        self.free.push(id.index() as u32);
        Some(call)
    }

    /// Gives a call that stays a new id, so that answers to the old one are stale.
    pub fn renew(&mut self, id: CallId) -> Option<CallId> {
        let place = self.place_mut(id)?;
        place.call.as_ref()?;
        place.generation = next(place.generation);
        Some(CallId::new(place.generation, id.index() as u32))
    }

    /// All calls, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = (CallId, &T)> {
        (0_u32..).zip(&self.places).filter_map(|(index, place)| {
            let call = place.call.as_ref()?;
            Some((CallId::new(place.generation, index), call))
        })
    }

    fn place(&self, id: CallId) -> Option<&Place<T>> {
        let place = self.places.get(id.index())?;
        (place.generation == id.generation()).then_some(place)
    }

    fn place_mut(&mut self, id: CallId) -> Option<&mut Place<T>> {
        let place = self.places.get_mut(id.index())?;
        (place.generation == id.generation()).then_some(place)
    }
}

fn next(generation: u32) -> u32 {
    generation.checked_add(1).unwrap_or(1)
}

#[cfg(test)]
mod tests;
