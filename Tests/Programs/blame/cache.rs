// Opens files until it is refused one, in a generic type of a module.
mod store {
    pub struct Cache<T> {
        pub held: Vec<T>,
    }
    impl<T: From<std::fs::File>> Cache<T> {
        #[inline(never)]
        pub fn load(&mut self) -> std::io::Result<()> {
            loop {
                self.held.push(std::fs::File::open("/dev/null")?.into());
            }
        }
    }
}

fn main() {
    let mut cache = store::Cache::<std::fs::File> { held: vec![] };
    println!("{:?}", cache.load());
}
