//! Leaked credentials: who may report them, which credentials they are, and handing them over.
