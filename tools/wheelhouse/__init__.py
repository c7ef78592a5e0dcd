"""What tools/wheels.py is made of: builds, static checks, and tests of wheels where they are installed. Linux only."""
