//! Networks that come into a group, leave it, and are looked at.

use crate::engine::{
    cpu::group::{Group, Kind},
    state::Memory,
    step::Course,
};

/// A network in a lane.
pub(crate) struct Seat {
    /// Its number in the population.
    pub(crate) member: usize,
    pub(crate) course: Course,
    /// How many steps it has taken since its optimizer started.
    pub(crate) since: u64,
}

impl Group {
    /// The networks, lane by lane.
    pub(crate) fn seats(&self) -> &[Seat] {
        &self.seats
    }

    /// Those of one lane.
    pub(crate) fn seat_mut(&mut self, lane: usize) -> &mut Seat {
        &mut self.seats[lane]
    }

    /// Gives a network the next lane.
    pub(crate) fn push(&mut self, kind: &Kind, seat: Seat, memory: &Memory) {
        self.seats.push(seat);
        self.set_memory(kind, self.seats.len() - 1, memory);
    }

    /// Takes the last network out.
    pub(crate) fn pop(&mut self, kind: &Kind) -> Option<(Seat, Memory)> {
        let memory = self.memory(kind, self.seats.len().checked_sub(1)?);
        self.seats.pop().map(|seat| (seat, memory))
    }

    /// Puts another network in a lane, and gives the one that was there.
    pub(crate) fn replace(&mut self, kind: &Kind, lane: usize, (seat, memory): (Seat, Memory)) -> (Seat, Memory) {
        let before = self.memory(kind, lane);
        self.set_memory(kind, lane, &memory);
        (std::mem::replace(&mut self.seats[lane], seat), before)
    }

    /// All that training has changed of the network in a lane.
    pub(crate) fn memory(&self, kind: &Kind, lane: usize) -> Memory {
        let flat = |values: &[f32], plane: usize, planes: usize| {
            let of = |register: usize| values[(register * planes + plane) * kind.lanes + lane];
            let mut flat = vec![of(kind.places.flat.len()); kind.places.len];
            kind.places.flat.iter().enumerate().for_each(|(register, place)| flat[*place] = of(register));
            flat
        };
        Memory {
            parameters: flat(&self.parameters, 0, 1),
            statistics: Vec::new(),
            planes: (0..kind.planes()).map(|plane| flat(&self.state, plane, kind.planes())).collect(),
            gradients: (kind.course.accumulate > 1).then(|| flat(&self.gradients, 0, 1)),
        }
    }

    /// Puts all that training changes of the network in a lane where it was.
    pub(crate) fn set_memory(&mut self, kind: &Kind, lane: usize, memory: &Memory) {
        let (lanes, planes) = (kind.lanes, kind.planes());
        // Padding is where no parameter is; if there is none, its register is of no matter.
        let is_padding = |place: &usize| kind.places.flat.binary_search(place).is_err();
        let padding = (0..kind.places.len).find(is_padding).unwrap_or(0);
        for (register, place) in kind.places.flat.iter().chain([&padding]).enumerate() {
            self.parameters[register * lanes + lane] = memory.parameters[*place];
            for (plane, values) in memory.planes.iter().enumerate() {
                self.state[(register * planes + plane) * lanes + lane] = values[*place];
            }
            if let Some(gradients) = &memory.gradients {
                self.gradients[register * lanes + lane] = gradients[*place];
            }
        }
    }
}
