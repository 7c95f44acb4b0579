class Checkpoint:
    @classmethod
    def of(cls, *a):
        return None
