#!/usr/bin/ruby
#
# interop/bosh/render.rb JOB-DIR INPUT.json OUT: renders a job's templates as
# the Director does: ERB with trim mode "-", properties by p and if_p, of which
# only those in the job's spec exist, links, spec. INPUT is {"properties": {},
# "spec": {}, "links": {NAME: {"properties": {}, "instances": [{"address":
# ...}]}}}. A property in INPUT that the spec does not know is an error here,
# though the Director would drop it: our manifests must not set any.

require 'erb'
require 'fileutils'
require 'json'
require 'ostruct'
require 'yaml'


class Missing < StandardError; end


# What follows if_p and if_link: else and else_if_p.
class Otherwise
  def initialize(context, taken)
    @context = context
    @taken = taken
  end

  def else
    yield unless @taken
  end

  def else_if_p(*names, &block)
    @taken ? self : @context.if_p(*names, &block)
  end
end


class Link
  attr_reader :instances

  def initialize(link)
    @instances = link['instances'].map { |i| OpenStruct.new(i) }
    @properties = link['properties'] || {}
  end

  # The property that its provider exports by that name.
  def p(name)
    value = @properties.dig(*name.split('.'))
    return value unless value.nil?

    raise Missing, "Can't find property '#{name}' of the link"
  end
end


class Context
  attr_reader :spec, :name, :index

  def initialize(job, input)
    @properties = {}
    job.fetch('properties', {}).each do |name, definition|
      value = dig(input['properties'], name)
      @properties[name] = value.nil? ? definition['default'] : value
    end

    unknown = flat(input['properties'], '') { |n| covered?(n) }
    raise "no such property: #{unknown.join(' ')}" if unknown.any?

    @links = input.fetch('links', {})
    consumed = job.fetch('consumes', []).map { |c| c['name'] }
    raise 'no such link' unless (@links.keys - consumed).empty?

    @spec = OpenStruct.new(input.fetch('spec', {}))
    @name = @spec.name
    @index = @spec.index
  end

  def p(names, *default)
    Array(names).each do |name|
      value = @properties[name]
      return value unless value.nil?
    end
    return default[0] unless default.empty?

    raise Missing, "Can't find property '#{Array(names).join("' or '")}'"
  end

  def if_p(*names)
    values = names.map { |name| @properties[name] }
    return Otherwise.new(self, false) if values.any?(&:nil?)

    yield(*values)
    Otherwise.new(self, true)
  end

  def if_link(name)
    return Otherwise.new(self, false) unless @links[name]

    yield Link.new(@links[name])
    Otherwise.new(self, true)
  end

  def link(name)
    Link.new(@links.fetch(name) { raise Missing, "Can't find link '#{name}'" })
  end

  def scope
    binding
  end

  private

  def dig(tree, name)
    name.split('.').reduce(tree) do |node, key|
      return nil unless node.is_a?(Hash)

      node[key]
    end
  end

  # A property may itself be a hash: what lies below it belongs to it.
  def covered?(name)
    @properties.keys.any? { |k| name == k || name.start_with?("#{k}.") }
  end

  def flat(tree, prefix, &known)
    tree.flat_map do |key, value|
      name = "#{prefix}#{key}"
      if known.call(name) then []
      elsif value.is_a?(Hash) && !value.empty?
        flat(value, "#{name}.", &known)
      else [name]
      end
    end
  end
end


def render(file, context)
  template = ERB.new(File.read(file), trim_mode: '-')
  template.filename = file
  template.result(context.scope)
end


job_dir, input_file, out = ARGV
abort 'usage: render.rb JOB-DIR INPUT.json OUT' unless out

begin
  job = YAML.safe_load(File.read("#{job_dir}/spec"))
  input = JSON.parse(File.read(input_file))
  input['properties'] ||= {}
  context = Context.new(job, input)

  files = job['templates'].map { |src, dst| ["templates/#{src}", dst] }
  files << %w[monit monit]
  files.each do |src, dst|
    path = "#{out}/#{dst}"
    FileUtils.mkdir_p(File.dirname(path))
    File.write(path, render("#{job_dir}/#{src}", context))
    File.chmod(dst.start_with?('bin/') ? 0o755 : 0o644, path)
  end
rescue StandardError => e
  warn "#{e.class}: #{e.message}"
  exit 1
end
