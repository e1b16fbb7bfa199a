"""The compute hosts' part of moves: resizes and cold migrations, their confirms and reverts, and live migrations."""
