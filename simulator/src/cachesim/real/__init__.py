"""The bytes fidelity: real small files and moto's S3, under the same virtual time as the flow fidelity.

What takes time in the simulated world takes it in virtual time first; then the real operation is carried out at once,
one at a time, while virtual time stands still.
"""
