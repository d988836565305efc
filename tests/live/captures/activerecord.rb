# What Rails' ActiveRecord sends: migrations and everyday code. `fixtures/guards/ordinary/activerecord.txt` is what a
# server with log_statement=all wrote down of it.
#
#   apt-get install ruby-activerecord ruby-pg
#   DATABASE_URL=postgres://postgres@127.0.0.1:5432/rails ruby activerecord.rb
require 'active_record'

ActiveRecord::Base.establish_connection(ENV.fetch('DATABASE_URL'))
ActiveRecord::Base.logger = nil
ActiveRecord::Migration.verbose = false

class CreateShop < ActiveRecord::Migration[6.1]
  def change
    enable_extension 'citext'
    create_table :authors do |t|
      t.string :name, null: false, limit: 120
      t.citext :email
      t.jsonb :settings, null: false, default: {}
      t.string :tags, array: true, default: []
      t.timestamps
    end
    create_table :books do |t|
      t.references :author, null: false, foreign_key: { on_delete: :cascade }
      t.string :title
      t.text :body
      t.decimal :price, precision: 10, scale: 2
      t.date :published_on
      t.boolean :featured, default: false, null: false
      t.integer :lock_version, default: 0
      t.integer :reviews_count, default: 0
      t.timestamps
    end
    create_table(:reviews) { |t| t.belongs_to :book, foreign_key: true; t.integer :stars; t.timestamps }
    create_table(:tokens, id: :uuid) { |t| t.string :value; t.inet :address; t.daterange :valid_in }
    add_index :authors, :email, unique: true
    add_index :books, %i[author_id title]
    add_index :books, :title, where: 'featured', name: 'featured_titles'
    add_index :authors, :settings, using: :gin
    add_column :books, :isbn, :string
    rename_column :books, :isbn, :isbn13
    change_column :books, :isbn13, :text
    change_column_null :books, :title, false, ''
    change_column_default :books, :title, from: nil, to: 'untitled'
    change_column_comment :books, :title, from: nil, to: 'As printed'
    add_check_constraint :reviews, 'stars between 1 and 5', name: 'stars_in_range'
    rename_table :tokens, :api_tokens
  end
end

ActiveRecord::SchemaMigration.create_table
ActiveRecord::InternalMetadata.create_table
CreateShop.new.migrate(:up)
ActiveRecord::SchemaMigration.create!(version: '20260101000000')

class Author < ActiveRecord::Base
  has_many :books, dependent: :destroy
  has_many :reviews, through: :books
  validates :email, uniqueness: true
  scope :tagged, ->(tag) { where('? = any(tags)', tag) }
end

class Book < ActiveRecord::Base
  belongs_to :author, touch: true
  has_many :reviews, dependent: :delete_all
end

class Review < ActiveRecord::Base
  belongs_to :book, counter_cache: true
end

class ApiToken < ActiveRecord::Base
end

ada = Author.create!(name: 'Ada', email: 'ada@example.com', settings: { theme: 'dark' }, tags: %w[math])
bob = Author.create!(name: 'Bob', email: 'bob@example.com')
Author.new(name: 'x', email: 'ada@example.com').valid?
Book.insert_all([{ author_id: ada.id, title: 'Notes', created_at: Time.now, updated_at: Time.now }])
Author.upsert_all([{ id: bob.id, name: 'Bob B.', email: 'bob@example.com', created_at: Time.now, updated_at: Time.now }])
book = ada.books.create!(title: 'Engines', price: 12.5, published_on: Date.new(1843, 9, 1), featured: true)
book.reviews.create!(stars: 5)
book.reviews.create!(stars: 4)
book.update!(title: 'Analytical engines')
begin
  stale = Book.find(book.id)
  book.update!(price: 13)
  stale.update!(price: 14)
rescue ActiveRecord::StaleObjectError
  nil
end
Author.find(ada.id)
Author.find_by(email: 'ada@example.com')
Author.where(name: %w[Ada Bob]).order(:name).to_a
Author.where.not(email: nil).or(Author.where(name: 'x')).limit(5).offset(1).to_a
Author.includes(:books).to_a
Author.eager_load(books: :reviews).where(reviews: { stars: 5 }).to_a
Author.joins(:books).group(:name).having('count(*) > 0').count
Author.tagged('math').pluck(:id, :name)
Author.where("settings->>'theme' = ?", 'dark').exists?
Author.left_joins(:books).distinct.count
Book.sum(:price)
Book.average(:price)
Book.maximum(:published_on)
Book.where(published_on: Date.new(1800)..Date.new(1900)).ids
Book.where(featured: true).in_batches(of: 10) { |batch| batch.update_all(featured: false) }
Book.find_each { |each| each.title }
Book.lock.find(book.id)
Book.where(id: book.id).lock('FOR UPDATE SKIP LOCKED').first
book.reload
Book.transaction { book.increment!(:reviews_count); Book.transaction(requires_new: true) { book.touch } }
Book.where(author_id: Author.select(:id).where(name: 'Ada')).explain
Author.find_or_create_by!(email: 'eve@example.com') { |eve| eve.name = 'Eve' }
ApiToken.create!(value: 'x', address: '10.0.0.1', valid_in: Date.new(2026)..Date.new(2027)).reload
Book.where('price < ?', 1).delete_all
Book.update_counters(book.id, reviews_count: 1)
bob.destroy
ada.reload.books.destroy_all
Book.connection.execute('SET statement_timeout = 5000')
Book.connection.select_all('select current_database() as name').to_a
Book.connection.indexes('books')
Book.connection.foreign_keys('books')
Book.connection.check_constraints('reviews')
Book.connection.tables
Book.connection.views
Book.connection.drop_table(:reviews)
Book.connection.remove_column(:books, :isbn13)
Book.connection.remove_index(:books, name: 'featured_titles')
Book.connection.truncate(:books)
